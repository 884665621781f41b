//! What the examples share: a client that asks them.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Asks for everything, as a stranger and as somebody who signed in, and tells what came back: the request, the
/// status, the header that goes with it and the body.
pub(crate) async fn show(address: SocketAddr) -> io::Result<String> {
    let mut shown = String::new();
    for (path, token) in [
        ("/", None),
        ("/", Some("letmein")),
        ("/", Some("guessed")),
        ("/hello", None),
        ("/hello", Some("guessed")),
        ("/hello", Some("letmein")),
        ("/write/ada-Desk", Some("letmein")),
        ("/write/ada-Shelf", Some("letmein")),
        ("/members", None),
        ("/members", Some("letmein")),
    ] {
        let answer = get(address, path, token).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        let challenge = head.lines().find_map(|line| line.strip_prefix("www-authenticate: ")).unwrap_or("-");
        let who = token.unwrap_or("nobody");
        let _infallible = writeln!(shown, "{path} {who}: {status} [{challenge}] {body}");
    }
    Ok(shown)
}

async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
