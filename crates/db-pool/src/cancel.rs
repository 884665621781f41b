//! Asking the server to cancel a statement, and waiting until it has.
//!
//! tokio-postgres hangs up as soon as it has asked. PgBouncer (seen with 1.18) takes that for a client that went
//! away and forgets the request. libpq waits for the server to hang up, and so is done here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::join_all;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::CancelToken;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use crate::target::{Endpoint, Target};

/// Asks every server of `target`, because a token does not tell which one it belongs to; the others ignore it.
/// Returns when each has hung up.
pub(crate) async fn cancel(target: &Target, token: &CancelToken) {
    join_all(target.endpoints.iter().map(|endpoint| ask_endpoint(target, endpoint, token))).await;
}

async fn ask_endpoint(target: &Target, endpoint: &Endpoint, token: &CancelToken) {
    let port = endpoint.port;
    let (name, addresses) = match (&endpoint.host, endpoint.address) {
        (Some(Host::Unix(directory)), _) => {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            return ask(target, UnixStream::connect(path).await, "", token).await;
        }
        (Some(Host::Tcp(name)), None) => {
            let found = tokio::net::lookup_host((name.as_str(), port)).await;
            (name.clone(), found.map_or_else(|_| Vec::new(), Iterator::collect))
        }
        (Some(Host::Tcp(name)), Some(address)) => (name.clone(), vec![(address, port).into()]),
        (None, Some(address)) => (address.to_string(), vec![(address, port).into()]),
        (None, None) => return,
    };
    let name = name.as_str();
    join_all(addresses.into_iter().map(|address| async move {
        ask(target, TcpStream::connect(address).await, name, token).await;
    }))
    .await;
}

async fn ask<S>(target: &Target, stream: io::Result<S>, name: &str, token: &CancelToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connector = target.tls.connector.clone();
    let tls = MakeTlsConnect::<UntilHungUp<S>>::make_tls_connect(&mut connector, name);
    let (Ok(stream), Ok(tls)) = (stream, tls) else {
        return;
    };
    if let Err(error) = token.cancel_query_raw(UntilHungUp(stream), Patient(tls)).await {
        tracing::debug!("A statement could not be cancelled: {error}");
    }
}

/// TLS whose end waits, too.
struct Patient<T>(T);

impl<S, T> TlsConnect<S> for Patient<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
{
    type Stream = UntilHungUp<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async move { connecting.await.map(UntilHungUp) })
    }
}

/// A stream that is shut down by the other side.
struct UntilHungUp<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilHungUp<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilHungUp<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 64];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer));
            // However it ends: nothing is expected from it.
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for UntilHungUp<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}
