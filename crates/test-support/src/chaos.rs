use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, watch},
    task::JoinHandle,
    time::sleep,
};

/// A TCP proxy in front of a server, that fails on demand. It ends, with its connections, when dropped.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    upstream: SocketAddr,
    weather: watch::Sender<Weather>,
    door: Mutex<Door>,
}

/// What the connections are told.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    hanging: bool,
    delay: Duration,
    /// Connections that began under a smaller number are cut.
    cuts: u64,
}

#[derive(Debug)]
enum Door {
    Open(JoinHandle<()>),
    /// Bound and not listening: connections are refused, and nobody else gets the port.
    Closed(TcpSocket),
}

impl ChaosProxy {
    /// Starts a proxy in front of `upstream`, which need not be there yet.
    ///
    /// # Panics
    /// When no local port can be had.
    pub async fn start(upstream: SocketAddr) -> Self {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        let proxy =
            Self { address, upstream, weather: watch::Sender::default(), door: Mutex::new(Door::Closed(socket)) };
        proxy.restore().await;
        proxy
    }

    /// Where to connect instead of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections are refused; existing ones go on. With [`Self::cut`] it is a server that is down.
    ///
    /// # Panics
    /// When the port was lost to another process.
    pub async fn refuse(&self) {
        let mut door = self.door.lock().await;
        if let Door::Open(task) = &mut *door {
            task.abort();
            let _ = task.await;
            *door = Door::Closed(keep(self.address).await);
        }
    }

    /// Connections are accepted and nothing comes back, on existing ones neither.
    pub fn hang(&self) {
        self.weather.send_modify(|weather| weather.hanging = true);
    }

    /// Ends every existing connection.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Everything that passes waits this long first, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Good weather: connections are accepted, nothing hangs, nothing waits. What hung goes on.
    ///
    /// # Panics
    /// When the port was lost to another process.
    pub async fn restore(&self) {
        self.weather.send_modify(|weather| {
            weather.hanging = false;
            weather.delay = Duration::ZERO;
        });
        let mut door = self.door.lock().await;
        if let Door::Closed(socket) = &mut *door {
            let placeholder = TcpSocket::new_v4().expect("a socket");
            let listener = std::mem::replace(socket, placeholder).listen(128).expect("the port that we kept");
            let task = accept(listener, self.upstream, self.weather.subscribe());
            *door = Door::Open(tokio::spawn(task));
        }
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        if let Door::Open(task) = self.door.get_mut() {
            task.abort();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Takes the port that was just ours. A connection of some other process may have got it for a moment.
async fn keep(address: SocketAddr) -> TcpSocket {
    let mut tries = 0;
    loop {
        match bind(address) {
            Ok(socket) => return socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < 100 => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("the port that was just ours: {error}"),
        }
        tries += 1;
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, weather: watch::Receiver<Weather>) {
    while let Ok((client, _)) = listener.accept().await {
        let weather = weather.clone();
        tokio::spawn(async move {
            let cuts = weather.borrow().cuts;
            let mut storm = weather.clone();
            tokio::select! {
                // An error is the end of the proxy.
                _ = storm.wait_for(|weather| weather.cuts > cuts) => {}
                _ = serve(client, upstream, weather) => {}
            }
        });
    }
}

async fn serve(client: TcpStream, upstream: SocketAddr, mut weather: watch::Receiver<Weather>) -> io::Result<()> {
    calm(&mut weather).await;
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    // When one side ends, so does the other.
    tokio::select! {
        outcome = pass(client_read, server_write, weather.clone()) => outcome,
        outcome = pass(server_read, client_write, weather) => outcome,
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        calm(&mut weather).await;
        if length == 0 {
            return Ok(());
        }
        let delay = weather.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// Waits as long as it hangs; the end of the proxy is seen elsewhere.
async fn calm(weather: &mut watch::Receiver<Weather>) {
    let _ = weather.wait_for(|weather| !weather.hanging).await;
}
