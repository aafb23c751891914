//! A connection that sends exactly the bytes a test gives it, and reads HTTP/1.1 answers from it.
//!
//! Owns framing of answers (Content-Length, chunked, until close). Never retries, never reuses, never
//! corrects what the test sends. Every read has a deadline, so a silent server fails a test and does not
//! hang it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// How long a read or a write may wait unless the test says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Most bytes taken for the head of one answer.
const MAX_HEAD: usize = 256 << 10;

/// One HTTP answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header lines in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Whether the body had a length or was chunked and ended as announced.
    pub complete: bool,
}

impl Answer {
    /// The first value of `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name`, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, with replacements for what is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A connection with what was read ahead.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    ahead: Vec<u8>,
}

impl Connection<TcpStream> {
    /// Connects to `host` (`address:port`), with [`PATIENCE`] for every read and write.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn open(host: &str) -> io::Result<Self> {
        Self::open_from(IpAddr::V4(Ipv4Addr::LOCALHOST), host)
    }

    /// Connects as [`Connection::open`] does, from the address `source`: every 127.x.y.z is one of ours.
    ///
    /// # Errors
    /// Those of binding and connecting.
    pub fn open_from(source: IpAddr, host: &str) -> io::Result<Self> {
        let host: SocketAddr = host.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        let socket = Socket::new(Domain::for_address(host), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect(&host.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream))
    }

    /// Sends `bytes`, reads one answer to a `method` request, and ends the connection.
    ///
    /// # Errors
    /// Those of [`Connection::answer`]. Errors of sending are left out: the server may
    /// have answered and closed before it took everything.
    pub fn exchange(self, method: &str, bytes: &[u8]) -> io::Result<Answer> {
        let mut connection = self;
        let mut writer = connection.stream.try_clone()?;
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(bytes));
            let answer = connection.answer(method);
            // Ends the writer when the server answered without reading on.
            let _ = connection.stream.shutdown(std::net::Shutdown::Both);
            answer
        })
    }

    /// Whether the server ends the connection within `limit`; bytes it sends until then are thrown away.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.read_until_closed(limit).is_some()
    }

    /// Everything that still comes until the server ends the connection; `None` when it is open after `limit`.
    pub fn read_until_closed(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut buffer = [0; 16 << 10];
        let mut found = std::mem::take(&mut self.ahead);
        loop {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.stream.set_read_timeout(Some(left)).ok()?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Some(found),
                Ok(count) => found.extend_from_slice(&buffer[..count]),
                Err(error) if is_timeout(&error) => return None,
                Err(_) => return Some(found),
            }
        }
    }
}

impl<S: Read + Write> Connection<S> {
    /// A connection over an open stream.
    pub fn over(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// The stream below.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends `bytes` as they are.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the answer to a `method` request (which says whether a body may follow). Interim answers (1xx)
    /// are skipped.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends before a whole head; `InvalidData` for what is not HTTP;
    /// otherwise those of the stream.
    pub fn answer(&mut self, method: &str) -> io::Result<Answer> {
        loop {
            let answer = self.any_answer(method)?;
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    /// As [`Connection::answer`], interim answers included.
    ///
    /// # Errors
    /// Those of [`Connection::answer`].
    pub fn any_answer(&mut self, method: &str) -> io::Result<Answer> {
        let head = self.head()?;
        let mut answer = parse_head(&head)?;
        let chunked =
            answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = answer.header("content-length").map(str::to_owned);
        if method == "HEAD" || answer.status < 200 || matches!(answer.status, 204 | 304) {
            return Ok(answer);
        }
        if chunked {
            self.chunks(&mut answer)?;
        } else if let Some(length) = length {
            let length = length.parse().map_err(|_| invalid("Content-Length"))?;
            while self.ahead.len() < length && self.fill()? > 0 {}
            let taken = length.min(self.ahead.len());
            answer.complete = taken == length;
            answer.body = self.ahead.drain(..taken).collect();
        } else {
            while self.fill()? > 0 {}
            answer.complete = false;
            answer.body = std::mem::take(&mut self.ahead);
        }
        Ok(answer)
    }

    fn chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("chunk size"))?;
            while self.ahead.len() < size && self.fill()? > 0 {}
            if self.ahead.len() < size {
                answer.complete = false;
                return Ok(());
            }
            answer.body.extend(self.ahead.drain(..size));
            // The line end after the data, or trailers up to an empty line.
            while !self.line()?.is_empty() {}
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            head.push_str(&line);
            head.push('\n');
            if head.len() > MAX_HEAD {
                return Err(invalid("head without end"));
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.ahead[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=searched + end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            searched = self.ahead.len();
            if searched > MAX_HEAD {
                return Err(invalid("line without end"));
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        let count = self.stream.read(&mut buffer)?;
        self.ahead.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// Whether a read ended because its time was over.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {what}"))
}

fn parse_head(head: &str) -> io::Result<Answer> {
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let status = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
    let status = status.parse().map_err(|_| invalid("status line"))?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("header line"))?;
        Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.map(header).collect::<io::Result<_>>()?;
    Ok(Answer { status, headers, body: Vec::new(), complete: true })
}
