# The lines of results.jsonl as one markdown table, with Shoal's figure divided by each peer's.
# A line has row, metrics (the fields to show, in order), label (the server, or "machine") and figures.

def show: if . == null then "–" elif type != "number" then tostring
    elif . >= 100 then round elif . >= 10 then (. * 10 | round / 10)
    elif . >= 1 then (. * 100 | round / 100) else (. * 1000 | round / 1000) end | tostring;
def unit: {mib_per_second: "MiB/s", per_second: "per s", p50_ms: "p50 ms", p99_ms: "p99 ms",
    cpu_seconds_per_gib: "CPU s/GiB", cpu_us_per_item: "CPU µs each", rss_peak_mib: "peak RSS MiB",
    rss_before_mib: "RSS before MiB", anonymous_peak_mib: "peak RSS MiB, no files", rss_mib: "RSS MiB",
    rss_growth_per_stream_mib: "RSS growth MiB/stream", items: "made", ready_seconds: "s"}[.] // .;
def ratio($mine; $peer): if $mine == null or ($peer // 0) == 0 then "–" else ($mine / $peer | show) end;
map(if .rss_peak_mib then .rss_growth_per_stream_mib = ([.rss_peak_mib - .rss_before_mib, 0] | max) / .concurrency else . end)
| [.[] | select(.label == "machine")] as $limits
| [.[] | select(.label != "machine")] as $lines
| ($lines | reduce .[].row as $row ([]; if index([$row]) then . else . + [$row] end)) as $rows
| ["shoal", "distribution", "zot", "nginx"] as $names
| "| What | Figure | Shoal | distribution | zot | nginx | Shoal/distribution | Shoal/zot | Shoal/nginx |",
  "|---|---|---|---|---|---|---|---|---|",
  ($rows[] as $row | [$lines[] | select(.row == $row)] as $of | $of[0].metrics[] as $metric
    | [$names[] as $name | [$of[] | select(.label == $name)][-1] | if .failed then "failed" else .[$metric] end] as $values
    | [$values[] | if type == "number" then . else null end] as $numbers
    | "| " + ([$row, ($metric | unit)] + [$values[] | show] + [$numbers[1:][] as $peer | ratio($numbers[0]; $peer)] | join(" | ")) + " |"),
  "",
  ($limits[] | "- \(.row): \(.mib_per_second | show) MiB/s"),
  "",
  "Errors: " + ([$lines[] | select((.errors // {}) != {}) | "\(.row), \(.label): \(.errors)"] | if . == [] then "none" else join("; ") end)
