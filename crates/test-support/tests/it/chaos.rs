use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use parlant_test_support::ChaosProxy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// Long enough to tell that nothing comes.
const SILENCE: Duration = Duration::from_millis(100);

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

async fn proxy() -> ChaosProxy {
    ChaosProxy::start(echo().await).await
}

async fn connect(proxy: &ChaosProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// Sends something, and waits for it to come back.
async fn answers(stream: &mut TcpStream) -> bool {
    stream.write_all(b"?").await.is_ok() && stream.read_exact(&mut [0]).await.is_ok()
}

/// Sends something, and sees nothing come back.
async fn stays_silent(stream: &mut TcpStream) -> bool {
    stream.write_all(b"?").await.is_ok() && timeout(SILENCE, stream.read_exact(&mut [0])).await.is_err()
}

/// Waits for the end of the connection.
async fn ends(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]).await, Ok(1))
}

#[tokio::test]
async fn in_good_weather_it_passes_everything() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_ne_bytes).collect();
    let (mut read, mut write) = stream.split();
    let (written, received) = tokio::join!(write.write_all(&sent), async {
        let mut received = vec![0; sent.len()];
        read.read_exact(&mut received).await.map(|_| received)
    });
    written.unwrap();
    assert!(received.unwrap() == sent);
}

#[tokio::test]
async fn refusing_is_for_new_connections_and_keeps_the_port() {
    let proxy = proxy().await;
    let mut existing = connect(&proxy).await;
    assert!(answers(&mut existing).await);
    for _ in 0..3 {
        proxy.refuse().await;
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(answers(&mut existing).await);
        proxy.restore().await;
        assert!(answers(&mut connect(&proxy).await).await);
    }
}

#[tokio::test]
async fn hanging_accepts_and_freezes_until_restored() {
    let proxy = proxy().await;
    let mut existing = connect(&proxy).await;
    assert!(answers(&mut existing).await);
    proxy.hang();
    let mut new = connect(&proxy).await;
    assert!(stays_silent(&mut existing).await);
    assert!(stays_silent(&mut new).await);
    proxy.restore().await;
    for mut stream in [existing, new] {
        stream.read_exact(&mut [0]).await.unwrap();
    }
}

#[tokio::test]
async fn cutting_ends_what_is_there_even_when_it_hangs() {
    let proxy = proxy().await;
    let mut first = connect(&proxy).await;
    assert!(answers(&mut first).await);
    proxy.cut();
    assert!(ends(&mut first).await);
    let mut second = connect(&proxy).await;
    assert!(answers(&mut second).await);
    proxy.hang();
    assert!(stays_silent(&mut second).await);
    proxy.cut();
    assert!(ends(&mut second).await);
}

#[tokio::test]
async fn delay_holds_in_each_direction() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    proxy.delay(Duration::from_millis(60));
    let start = Instant::now();
    stream.write_all(b"?").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
    proxy.restore().await;
    assert!(answers(&mut stream).await);
}

#[tokio::test]
async fn it_ends_when_dropped() {
    let proxy = proxy().await;
    let address = proxy.address();
    let mut stream = connect(&proxy).await;
    assert!(answers(&mut stream).await);
    drop(proxy);
    assert!(ends(&mut stream).await);
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_server_that_is_not_there_ends_the_connection() {
    // Bound, so that nobody else gets the port, and not listening.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let proxy = ChaosProxy::start(gone.local_addr().unwrap()).await;
    assert!(ends(&mut connect(&proxy).await).await);
}
