//! What commands about principals have in common: the account, the call, files of policies and passwords.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proto::admin::iam::{Done, IamCall, Kind, Named};
use serde::de::DeserializeOwned;

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::render;

/// Longest file that is read, bytes: more than any node takes.
const MAX_FILE: u64 = 64 << 10;

/// In which account, and how.
#[derive(Debug, clap::Args)]
pub struct Within {
    /// Account, 12 digits; without it, that of who asks
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    account: Option<String>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// `user/alice`, `group/dev` or `role/ci`, as ARNs have them.
pub(crate) fn named(text: &str) -> Result<Named, String> {
    let kind = |word| match word {
        "user" => Some(Kind::User),
        "group" => Some(Kind::Group),
        "role" => Some(Kind::Role),
        _ => None,
    };
    let parts = text.split_once('/').and_then(|(word, name)| Some((kind(word)?, name.to_owned())));
    let (kind, name) = parts.ok_or_else(|| "user/NAME, group/NAME or role/NAME".to_owned())?;
    Ok(Named { kind, name })
}

impl Within {
    pub(crate) fn call<T: DeserializeOwned>(&self, call: &IamCall) -> Result<T, ClientError> {
        let path = match &self.account {
            Some(account) => format!("iam?account={account}"),
            None => "iam".to_owned(),
        };
        Client::new(&self.options.access)?.post(&path, call)
    }

    /// Shows `told` once it is done.
    pub(crate) fn change(&self, call: &IamCall, told: &str) -> Result<String, ClientError> {
        let done: Done = self.call(call)?;
        Ok(render(self.options.output, &done, |_| format!("{told}\n")))
    }
}

/// 12 digits.
pub(crate) fn account(text: &str) -> Result<String, String> {
    let fits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err("an account has 12 digits".to_owned()) }
}

/// The text of a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<String, ClientError> {
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    let mut text = String::new();
    let length = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
    };
    if length.map_err(failed)? as u64 > MAX_FILE {
        return Err(failed(std::io::Error::other(format!("it is longer than {MAX_FILE} bytes"))));
    }
    Ok(text)
}

/// A password: one line.
pub(crate) fn read_password(path: &Path) -> Result<String, ClientError> {
    Ok(read(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

/// As tables show it.
pub(crate) fn time(ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}
