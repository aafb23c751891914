# The servers that benches/compare measures: how each is configured, started and stopped.
#
# Sourced by it; uses its dir, blob, base_port, shoal and zot; sets pid and url. Every server is a child of the
# script, writes below $dir only, listens on loopback only, and is ended by its pid.
# shellcheck shell=bash disable=SC2154

declare -A pid url

port_of() {
    case $1 in shoal) echo "$base_port" ;; distribution) echo $((base_port + 1)) ;;
    zot) echo $((base_port + 2)) ;; nginx) echo $((base_port + 3)) ;; esac
}

command_of() {
    case $1 in
        shoal) echo "$shoal" ;;
        distribution) echo docker-registry ;;
        zot) echo "$zot" ;;
        nginx) echo nginx ;;
    esac
}

# Writes configuration and starts the server in the background, then notes its pid and URL.
launch() {
    local server=$1 port data
    port=$(port_of "$server")
    data=$dir/$server
    mkdir -p "$data"
    case $server in
        shoal)
            exec_logged shoal "$shoal" serve --data-dir "$data" --listen "127.0.0.1:$port" --peer-listen 127.0.0.1:0 \
                --anonymous-pull --root-password-file "$dir/password"
            ;;
        distribution)
            cat >"$dir/distribution.yml" <<CONFIG
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: $data}
  delete: {enabled: true}
http: {addr: "127.0.0.1:$port", relativeurls: true}
CONFIG
            exec_logged distribution docker-registry serve "$dir/distribution.yml"
            ;;
        zot)
            # `commit` makes zot fsync before it answers, as the two others always do.
            cat >"$dir/zot.json" <<CONFIG
{"distSpecVersion": "1.1.1",
 "storage": {"rootDirectory": "$data", "dedupe": true, "commit": true},
 "http": {"address": "127.0.0.1", "port": "$port"},
 "log": {"level": "error"}}
CONFIG
            exec_logged zot "$zot" serve "$dir/zot.json"
            ;;
        nginx)
            nginx_files "$data"
            cat >"$dir/nginx.conf" <<CONFIG
daemon off; worker_processes auto; pid $dir/nginx.pid; error_log stderr crit;
$(if [ "$(id -u)" = 0 ]; then echo 'user root;'; fi)
events { worker_connections 1024; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
    client_body_temp_path $dir/nginx-body; proxy_temp_path $dir/nginx-proxy; fastcgi_temp_path $dir/nginx-fastcgi;
    uwsgi_temp_path $dir/nginx-uwsgi; scgi_temp_path $dir/nginx-scgi;
    server { listen 127.0.0.1:$port; root $data; }
}
CONFIG
            exec_logged nginx nginx -e stderr -c "$dir/nginx.conf"
            ;;
    esac
}

exec_logged() {
    local server=$1
    shift
    "$@" >>"$dir/$server.log" 2>&1 &
    pid[$server]=$!
    url[$server]=http://127.0.0.1:$(port_of "$server")
}

nginx_files() {
    [ -s "$1/blob" ] && return
    head -c "$(bytes "$blob")" /dev/urandom >"$1/blob"
    head -c 2048 /dev/urandom >"$1/manifest"
}

bytes() { numfmt --from=iec-i "${1%B}"; }

# Starts a server and waits until it answers at all.
start() {
    local server=$1 status
    launch "$server"
    for _ in $(seq 600); do
        if ! kill -0 "${pid[$server]}" 2>/dev/null; then break; fi
        status=$(curl -s -o /dev/null -m 1 -w '%{http_code}' "${url[$server]}/v2/" || true)
        case $status in 200 | 401 | 404) return 0 ;; esac
        sleep 0.05
    done
    say "$server does not start:"
    tail -5 "$dir/$server.log" >&2
    return 1
}

stop() {
    local server=$1
    kill "${pid[$server]}" 2>/dev/null || true
    for _ in $(seq 300); do
        kill -0 "${pid[$server]}" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "${pid[$server]}" 2>/dev/null || true
    wait "${pid[$server]}" 2>/dev/null || true
    unset "pid[$server]"
}

# A new process with an empty disk: flat memory and first sizes are not those of an earlier run.
renew() {
    stop "$1"
    rm -rf "${dir:?}/$1"
    start "$1"
}
