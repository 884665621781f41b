use parlant_embedded_postgres::{Cluster, Installation, Options};

#[tokio::test]
async fn starts() {
    let installation = Installation::find(None).unwrap();
    let cluster = Cluster::start(&installation, Options::temporary())
        .await
        .unwrap();
    println!("{}", cluster.url("postgres"));
    cluster.stop().await;
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let t = std::time::Instant::now();
        let cluster = Cluster::start(&installation, Options::persistent(dir.path().join("x")))
            .await
            .expect("start");
        println!("{} {:?}", cluster.url("postgres"), t.elapsed());
        drop(cluster);
    }
}
