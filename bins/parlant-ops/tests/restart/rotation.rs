use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use crate::deployment::{client, until};
use crate::service::Service;

const ROTATIONS: usize = 5;

/// Debian's logrotate with the committed configuration, whose places are ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logrotate_loses_no_line_of_a_server_at_work() {
    let (service, _) = Service::running().await;
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/logrotate.conf");
    let directory = service.path("").display().to_string();
    let configuration = fs::read_to_string(committed).unwrap();
    let configuration = configuration.replace("/var/log/parlant", directory.trim_end_matches('/'));
    service.write("logrotate.conf", &configuration.replace("su parlant parlant", "su root root"));
    let client = client();
    let (url, unit) = (service.url.clone(), service.unit.clone());
    let asking = tokio::spawn(async move {
        for number in 0..2000 {
            let request = client.get(format!("{url}/livez")).header("x-request-id", format!("{unit}-{number}."));
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        2000
    });
    for _ in 0..ROTATIONS {
        sleep(Duration::from_millis(100)).await;
        until("there is a line", async || (!service.read("server.log").is_empty()).then_some(())).await;
        let rotate = "PATH=$PATH:/usr/sbin logrotate --force --verbose --state state logrotate.conf 2>&1";
        let output = service.shell(rotate).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let asked = asking.await.unwrap();
    let ids = format!(
        "zcat -f server.log* | grep 'Request completed' | grep -o '{}-[0-9]*\\.' | sort | uniq -c",
        service.unit
    );
    let lines = async || {
        let output = service.shell(&ids).await;
        let text = String::from_utf8(output.stdout).unwrap();
        (text.lines().count() == asked).then_some(text)
    };
    let lines = until("every request has its line", lines).await;
    assert!(lines.lines().all(|line| line.trim_start().starts_with("1 ")), "a line is there twice");
    let files = fs::read_dir(service.path("")).unwrap();
    let files = files.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("server.log."));
    assert_eq!(files.count(), ROTATIONS);
}
