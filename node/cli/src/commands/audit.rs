//! `shoal audit`: what was decided on a node.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::admin::audit::{Entry, Page};

use super::iam::time;
use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::Format;

/// Between two looks for more.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, clap::Args)]
pub struct Command {
    /// Only what is no older, such as 1h or 7d
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    since: Option<Duration>,
    /// Only what was denied
    #[arg(long)]
    denied: bool,
    /// Only what this principal asked for
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// Go on with what is decided from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    options: Options,
}

impl Command {
    fn wants(&self, entry: &Entry) -> bool {
        let is_theirs = self.principal.as_ref().is_none_or(|principal| *principal == entry.principal);
        is_theirs && !(self.denied && entry.is_allowed)
    }

    /// The lines of a page.
    fn show(&self, page: &Page) -> String {
        let line = |entry: &Entry| match self.options.output {
            Format::Json => serde_json::to_string(entry).unwrap_or_default() + "\n",
            Format::Table => text(entry),
        };
        page.entries.iter().filter(|entry| self.wants(entry)).map(line).collect()
    }
}

/// One line, whatever is in it.
fn text(entry: &Entry) -> String {
    let decision = if entry.is_allowed { "allowed" } else { "denied" };
    let tag = entry.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let detail = entry.detail.as_ref().map(|detail| format!(" [{detail}]")).unwrap_or_default();
    let reason = entry.reason.split_once(": ").map_or(entry.reason.as_str(), |(_, reason)| reason);
    let Entry { time_ms, principal, source, action, resource, .. } = entry;
    let line = format!(
        "{} {decision:7} {principal} from {source}: {action} {resource}{tag}{detail} ({reason})",
        time(*time_ms)
    );
    line.replace(char::is_control, "?") + "\n"
}

/// Writes pages as they come.
pub(crate) fn run(command: &Command) -> Result<String, ClientError> {
    let client = Client::new(&command.options.access)?;
    let since = command.since.and_then(|since| SystemTime::now().checked_sub(since));
    let since_ms =
        since.and_then(|since| since.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_millis());
    let mut page: Page = client.get(&format!("audit?since_ms={since_ms}"))?;
    loop {
        let mut out = std::io::stdout().lock();
        // Whoever closes the pipe has seen enough.
        if out.write_all(command.show(&page).as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(String::new());
        }
        drop(out);
        if !page.more {
            if !command.follow {
                return Ok(String::new());
            }
            std::thread::sleep(PAUSE);
        }
        let next = page.next.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let next = if next { page.next.as_str() } else { "-" };
        page = client.get(&format!("audit?since_ms={since_ms}&next={next}"))?;
    }
}
