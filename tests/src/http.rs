//! A small blocking HTTP/1.1 client: one connection per request, nothing followed, nothing retried.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::raw::{Answer, Connection};

/// Whom to ask and as whom.
#[derive(Clone, Debug)]
pub struct Client {
    host: String,
    /// What it calls the server, if not by its address.
    name: Option<String>,
    source: IpAddr,
    authorization: Option<String>,
}

impl Client {
    /// Without credentials. `host` is `address:port`.
    pub fn anonymous(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            name: None,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            authorization: None,
        }
    }

    /// With a user name and password in every request.
    pub fn basic(host: &str, user: &str, password: &str) -> Self {
        Self::authorized(host, &basic(user, password))
    }

    /// With a bearer token in every request.
    pub fn bearer(host: &str, token: &str) -> Self {
        Self::authorized(host, &format!("Bearer {token}"))
    }

    /// With this `Authorization` header in every request.
    pub fn authorized(host: &str, authorization: &str) -> Self {
        Self { authorization: Some(authorization.to_owned()), ..Self::anonymous(host) }
    }

    /// The same, connecting from the local address `source`.
    #[must_use]
    pub fn at(self, source: impl Into<IpAddr>) -> Self {
        Self { source: source.into(), ..self }
    }

    /// The same at another server.
    #[must_use]
    pub fn to(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }

    /// The same, calling the server by that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self.clone() }
    }

    /// `address:port` of the server.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The `Authorization` header line with its line end, or nothing: for requests written by hand.
    pub fn authorization_line(&self) -> String {
        self.authorization.as_ref().map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default()
    }

    /// A request with any method.
    pub fn request(&self, method: &str, target: impl Into<String>) -> Request<'_> {
        let (method, target) = (method.to_owned(), target.into());
        Request { client: self, method, target, headers: Vec::new(), body: Body::None }
    }

    /// A `GET` request.
    pub fn get(&self, target: impl Into<String>) -> Request<'_> {
        self.request("GET", target)
    }

    /// A `HEAD` request.
    pub fn head(&self, target: impl Into<String>) -> Request<'_> {
        self.request("HEAD", target)
    }

    /// A `PUT` request.
    pub fn put(&self, target: impl Into<String>) -> Request<'_> {
        self.request("PUT", target)
    }

    /// A `POST` request.
    pub fn post(&self, target: impl Into<String>) -> Request<'_> {
        self.request("POST", target)
    }

    /// A `PATCH` request.
    pub fn patch(&self, target: impl Into<String>) -> Request<'_> {
        self.request("PATCH", target)
    }

    /// A `DELETE` request.
    pub fn delete(&self, target: impl Into<String>) -> Request<'_> {
        self.request("DELETE", target)
    }
}

/// The value of an `Authorization` header.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Sized(Vec<u8>),
    Chunked(Vec<u8>, usize),
}

/// A request being put together.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    client: &'a Client,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Request<'_> {
    /// With one header line more; nothing in it is checked.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a body and its `Content-Length`.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Sized(bytes.into());
        self
    }

    /// With a body in chunks of `size` bytes and no length.
    pub fn chunked(mut self, bytes: impl Into<Vec<u8>>, size: usize) -> Self {
        self.body = Body::Chunked(bytes.into(), size);
        self
    }

    /// The request as it goes over the wire. `POST`, `PUT` and `PATCH` without a body say so.
    pub fn bytes(&self) -> Vec<u8> {
        let name = self.client.name.as_ref().unwrap_or(&self.client.host);
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {name}\r\n", self.method, self.target);
        head.push_str(&self.client.authorization_line());
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let body = match &self.body {
            Body::None if matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") => {
                head.push_str("Content-Length: 0\r\n");
                Vec::new()
            }
            Body::None => Vec::new(),
            Body::Sized(bytes) => {
                let _ = write!(head, "Content-Length: {}\r\n", bytes.len());
                bytes.clone()
            }
            Body::Chunked(bytes, size) => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                chunks(bytes, *size)
            }
        };
        head.push_str("Connection: close\r\n\r\n");
        [head.into_bytes(), body].concat()
    }

    /// Sends the request and reads the answer.
    ///
    /// # Errors
    /// Those of the connection, and answers that are not HTTP.
    pub fn try_send(&self) -> io::Result<Answer> {
        Connection::open_from(self.client.source, &self.client.host)?.exchange(&self.method, &self.bytes())
    }

    /// Sends the request and reads the answer.
    ///
    /// # Panics
    /// When there is none: that fails the test.
    pub fn send(&self) -> Answer {
        match self.try_send() {
            Ok(answer) => answer,
            Err(error) => {
                let target: String = self.target.chars().take(200).collect();
                panic!("no answer to {} {target}: {error}", self.method)
            }
        }
    }
}

fn chunks(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::with_capacity(bytes.len() + 16);
    for chunk in bytes.chunks(size) {
        framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}
