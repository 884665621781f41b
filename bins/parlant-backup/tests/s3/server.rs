//! moto's S3 server, behind a proxy that fails on demand.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use parlant_test_support::ChaosProxy;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

pub(crate) const BUCKET: &str = "backups";
pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct S3Server {
    pub(crate) proxy: ChaosProxy,
    address: SocketAddr,
    /// Its log of requests.
    log: NamedTempFile,
    _process: Child,
}

impl S3Server {
    /// Starts one with an empty bucket.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
        let program = std::env::var_os("MOTO_SERVER").unwrap_or("moto_server".into());
        loop {
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
            let log = NamedTempFile::new().unwrap();
            let mut process = Command::new(&program)
                .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
                .envs(environment.iter().copied())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log.reopen().unwrap())
                .kill_on_drop(true)
                .spawn()
                .expect("moto_server, as e2e/backup/run brings it");
            let deadline = Instant::now() + PATIENCE;
            while TcpStream::connect(address).await.is_err() && process.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "moto_server does not listen");
                sleep(Duration::from_millis(50)).await;
            }
            // Somebody else may have been faster to take the port.
            if process.try_wait().unwrap().is_none() {
                let proxy = ChaosProxy::start(address).await;
                let server = Self { proxy, address, log, _process: process };
                let answer = server.request("PUT", "", &[]).await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                return server;
            }
        }
    }

    /// What the service says about a file of ours.
    pub(crate) async fn head(&self, file: &str) -> String {
        self.request("HEAD", &format!("/parlant/{file}"), &[]).await
    }

    /// Stores something in place of a file of ours.
    pub(crate) async fn put(&self, file: &str, bytes: &[u8]) {
        let answer = self.request("PUT", &format!("/parlant/{file}"), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Waits until an upload has begun that was not there when this was called.
    pub(crate) async fn until_a_part_is_on_its_way(&self) {
        let begun = || std::fs::read_to_string(self.log.path()).unwrap().matches("?uploads").count();
        let parts = || std::fs::read_to_string(self.log.path()).unwrap().matches("uploadId").count();
        let (uploads, before) = (begun(), parts());
        let deadline = Instant::now() + PATIENCE;
        while begun() == uploads && parts() == before {
            assert!(Instant::now() < deadline, "nothing is uploaded");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// One request, whose signature moto does not check; the head of the answer.
    async fn request(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} /{BUCKET}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, \
             Signature=0\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}
