//! Each `sslmode` against each kind of server: what we do, and what real libpq does in the same place.

use std::time::Duration;

use parlant_db_pool::{Config, ConfigError, Error, Pool, SslMode, connect};

use crate::certificates::{
    as_authority, common_name, expired, expired_root, false_intermediate, for_clients_only, intermediate, issue,
    issue_forged_version_1, issue_rsa, issue_version_1, last_intermediate, narrow_intermediate, not_yet_valid,
    pretender, root, self_sign, server, with_a_riddle,
};
use crate::postgres::{SLEEP, running_statements, until};
use crate::tls_server::{MODES, Server, pem, try_all};

const HOST: &str = "db.example.test";

#[tokio::test]
async fn the_host_is_looked_for_where_libpq_looks() {
    let home = root("Root");
    let named = server(&[HOST]);
    let mut san_and_cn = common_name(HOST);
    san_and_cn.subject_alt_names = server(&["other.example.test"]).subject_alt_names;
    let mut address_and_cn = common_name(HOST);
    address_and_cn.subject_alt_names = server(&["10.0.0.1"]).subject_alt_names;
    #[rustfmt::skip]
    let cases = vec![
        ("right name", issue(&named, &home), HOST, home.pem(), "PPTTTT"),
        ("right name in capitals", issue(&named, &home), "DB.Example.Test", home.pem(), "PPTTTT"),
        ("wrong name", issue(&named, &home), "other.example.test", home.pem(), "PPTTTX"),
        ("right address", issue(&server(&["127.0.0.1"]), &home), "127.0.0.1", home.pem(), "PPTTTT"),
        ("right IPv6 address", issue(&server(&["::1"]), &home), "::1", home.pem(), "PPTTTT"),
        ("wrong address", issue(&server(&["10.0.0.1"]), &home), "127.0.0.1", home.pem(), "PPTTTX"),
        ("address for a name", issue(&named, &home), "127.0.0.1", home.pem(), "PPTTTX"),
        ("wildcard", issue(&server(&["*.example.test"]), &home), HOST, home.pem(), "PPTTTT"),
        ("wildcard two levels up", issue(&server(&["*.example.test"]), &home), "a.db.example.test", home.pem(), "PPTTTX"),
        ("common name", issue(&common_name(HOST), &home), HOST, home.pem(), "PPTTTT"),
        ("common name wildcard", issue(&common_name("*.example.test"), &home), HOST, home.pem(), "PPTTTT"),
        ("common name is an address", issue(&common_name("127.0.0.1"), &home), "127.0.0.1", home.pem(), "PPTTTT"),
        ("wrong common name", issue(&common_name("other"), &home), HOST, home.pem(), "PPTTTX"),
        ("alternative name over common name", issue(&san_and_cn, &home), HOST, home.pem(), "PPTTTX"),
        ("alternative address beside common name", issue(&address_and_cn, &home), HOST, home.pem(), "PPTTTT"),
        ("no name at all", issue(&server(&[]), &home), HOST, home.pem(), "PPTTTX"),
    ];
    try_all(cases).await;
}

#[tokio::test]
async fn authorities_are_believed_as_libpq_believes_them() {
    let home = root("Root");
    let other = root("Other root");
    let stale = expired_root("Expired root");
    let poser = pretender("Not an authority");
    let named = server(&[HOST]);
    #[rustfmt::skip]
    let cases = vec![
        ("no root", issue(&named, &home), HOST, String::new(), "PPTTXX"),
        ("another root", issue(&named, &home), HOST, other.pem(), "PPPXXX"),
        ("one of several roots", issue(&named, &home), HOST, pem(&[&other, &home]), "PPTTTT"),
        ("expired", issue(&expired(named.clone()), &home), HOST, home.pem(), "PPPXXX"),
        ("expired, no root", issue(&expired(named.clone()), &home), HOST, String::new(), "PPTTXX"),
        ("not yet valid", issue(&not_yet_valid(named.clone()), &home), HOST, home.pem(), "PPPXXX"),
        ("expired root", issue(&named, &stale), HOST, stale.pem(), "PPPXXX"),
        ("root without authority", issue(&named, &poser), HOST, poser.pem(), "PPPXXX"),
        ("for clients only", issue(&for_clients_only(named.clone()), &home), HOST, home.pem(), "PPPXXX"),
        ("critical riddle", issue(&with_a_riddle(named.clone()), &home), HOST, home.pem(), "PPPXXX"),
        ("critical riddle, no root", issue(&with_a_riddle(named.clone()), &home), HOST, String::new(), "PPTTXX"),
        ("RSA", issue_rsa(&named, &home), HOST, home.pem(), "PPTTTT"),
    ];
    try_all(cases).await;
}

#[tokio::test]
async fn self_signed_servers_are_trusted_as_their_own_roots() {
    let home = root("Root");
    let named = server(&[HOST]);
    let snakeoil = self_sign(&named);
    let authority_snakeoil = self_sign(&as_authority(named.clone()));
    #[rustfmt::skip]
    let cases = vec![
        ("self-signed", snakeoil.clone(), HOST, snakeoil.chain.clone(), "PPTTTT"),
        ("self-signed, wrong name", snakeoil.clone(), "other", snakeoil.chain.clone(), "PPTTTX"),
        ("self-signed, no root", snakeoil.clone(), HOST, String::new(), "PPTTXX"),
        ("self-signed, another root", snakeoil.clone(), HOST, home.pem(), "PPPXXX"),
        ("self-signed authority", authority_snakeoil.clone(), HOST, authority_snakeoil.chain.clone(), "PPTTTT"),
        ("self-signed authority, wrong name", authority_snakeoil.clone(), "other", authority_snakeoil.chain.clone(), "PPTTTX"),
        ("self-signed authority, no root", authority_snakeoil.clone(), HOST, String::new(), "PPTTXX"),
        ("self-signed authority, another root", authority_snakeoil.clone(), HOST, home.pem(), "PPPXXX"),
        ("authority as server", issue(&as_authority(named.clone()), &home), HOST, home.pem(), "PPTTTT"),
        ("expired authority as server", issue(&expired(as_authority(named.clone())), &home), HOST, home.pem(), "PPPXXX"),
        ("authority as server, for clients only", issue(&for_clients_only(as_authority(named.clone())), &home), HOST, home.pem(), "PPPXXX"),
        ("authority as server, critical riddle", issue(&with_a_riddle(as_authority(named.clone())), &home), HOST, home.pem(), "PPPXXX"),
    ];
    try_all(cases).await;
}

#[tokio::test]
async fn paths_lead_through_intermediates() {
    let home = root("Root");
    let middle = intermediate("Intermediate", &home);
    let second = intermediate("Second intermediate", &middle);
    let last = last_intermediate("Last intermediate", &home);
    let beyond = intermediate("Beyond the last", &last);
    let fake = false_intermediate("End entity", &home);
    let narrow = narrow_intermediate("Narrow", "example.test", &home);
    let elsewhere = narrow_intermediate("Elsewhere", "elsewhere.test", &home);
    let named = server(&[HOST]);
    let v1_middle = issue_version_1(HOST, &middle).with(&middle);
    #[rustfmt::skip]
    let cases = vec![
        ("intermediate sent", issue(&named, &middle).with(&middle), HOST, home.pem(), "PPTTTT"),
        ("intermediate not sent", issue(&named, &middle), HOST, home.pem(), "PPPXXX"),
        ("intermediate known", issue(&named, &middle), HOST, pem(&[&home, &middle]), "PPTTTT"),
        ("intermediate instead of root", issue(&named, &middle), HOST, middle.pem(), "PPPXXX"),
        ("two intermediates", issue(&named, &second).with(&second).with(&middle), HOST, home.pem(), "PPTTTT"),
        ("two intermediates, out of order", issue(&named, &second).with(&middle).with(&second), HOST, home.pem(), "PPTTTT"),
        ("end entity as intermediate", issue(&named, &fake).with(&fake), HOST, home.pem(), "PPPXXX"),
        ("past the path length", issue(&named, &beyond).with(&beyond).with(&last), HOST, home.pem(), "PPPXXX"),
        ("narrow intermediate", issue(&named, &narrow).with(&narrow), HOST, home.pem(), "PPTTTT"),
        ("narrow intermediate, elsewhere", issue(&named, &elsewhere).with(&elsewhere), HOST, home.pem(), "PPPXXX"),
        ("narrow intermediate, elsewhere, common name", issue(&common_name(HOST), &elsewhere).with(&elsewhere), HOST, home.pem(), "PPPXXX"),
        ("server instead of root", v1_middle.clone(), HOST, v1_middle.chain.clone(), "PPPXXX"),
    ];
    try_all(cases).await;
}

#[tokio::test]
async fn version_1_certificates_are_read() {
    let home = root("Root");
    let other = root("Other root");
    let stale = expired_root("Expired root");
    let poser = pretender("Not an authority");
    let middle = intermediate("Intermediate", &home);
    let last = last_intermediate("Last intermediate", &home);
    let beyond = intermediate("Beyond the last", &last);
    let fake = false_intermediate("End entity", &home);
    let v1_middle = issue_version_1(HOST, &middle).with(&middle);
    #[rustfmt::skip]
    let cases = vec![
        ("version 1", issue_version_1(HOST, &home), HOST, home.pem(), "PPTTTT"),
        ("version 1, wrong name", issue_version_1(HOST, &home), "other", home.pem(), "PPTTTX"),
        ("version 1, no root", issue_version_1(HOST, &home), HOST, String::new(), "PPTTXX"),
        ("version 1, another root", issue_version_1(HOST, &home), HOST, other.pem(), "PPPXXX"),
        ("version 1, forged", issue_forged_version_1(HOST, &home), HOST, home.pem(), "PPPXXX"),
        ("version 1, expired root", issue_version_1(HOST, &stale), HOST, stale.pem(), "PPPXXX"),
        ("version 1, root without authority", issue_version_1(HOST, &poser), HOST, poser.pem(), "PPPXXX"),
        ("version 1, intermediate sent", v1_middle.clone(), HOST, home.pem(), "PPTTTT"),
        ("version 1, intermediate not sent", issue_version_1(HOST, &middle), HOST, home.pem(), "PPPXXX"),
        ("version 1, end entity as intermediate", issue_version_1(HOST, &fake).with(&fake), HOST, home.pem(), "PPPXXX"),
        ("version 1, past the path length", issue_version_1(HOST, &beyond).with(&beyond).with(&last), HOST, home.pem(), "PPPXXX"),
    ];
    try_all(cases).await;
}

#[tokio::test]
async fn what_the_server_lets_in_is_found() {
    let (home, other) = (root("Root"), root("Other root"));
    let (roots, others) = (&home.pem(), &other.pem());
    let good = issue(&self::server(&[HOST]), &home);
    let server = Server::start().await;
    let mut wrong = Vec::new();
    server.become_(Some(&good), "hostssl").await;
    wrong.extend(server.try_modes("TLS only", HOST, roots, "XTTTTT").await);
    wrong.extend(server.try_modes("TLS only, another root", HOST, others, "XXXXXX").await);
    server.become_(Some(&good), "hostnossl").await;
    wrong.extend(server.try_modes("plain only", HOST, roots, "PPPXXX").await);
    server.become_(None, "host").await;
    wrong.extend(server.try_modes("without TLS", HOST, roots, "PPPXXX").await);
    server.become_(None, "hostssl").await;
    wrong.extend(server.try_modes("nobody", HOST, roots, "XXXXXX").await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.cluster.stop().await;
}

#[tokio::test]
async fn tls_1_2_will_do() {
    let home = root("Root");
    let server = Server::start().await;
    server.set("ssl_max_protocol_version", "TLSv1.2").await;
    let mut wrong = Vec::new();
    for (case, identity) in [
        ("ECDSA", issue(&self::server(&[HOST]), &home)),
        ("RSA", issue_rsa(&self::server(&[HOST]), &home)),
        ("version 1", issue_version_1(HOST, &home)),
    ] {
        let case = (case, identity, HOST, home.pem(), "PPTTTT");
        wrong.extend(server.try_identity(&case).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.cluster.stop().await;
}

#[tokio::test]
async fn over_a_unix_socket_every_mode_is_plain() {
    let server = Server::start().await;
    let directory = server.cluster.socket_dir().display().to_string();
    for mode in MODES {
        let password = format!("password={}", server.cluster.password());
        let dsn = server.dsn(&directory, mode, None).replace("hostaddr=127.0.0.1", &password);
        let client = connect(&Config::new(dsn)).await.unwrap();
        let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        assert!(!client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0), "{mode}");
    }
    server.cluster.stop().await;
}

#[tokio::test]
async fn scram_is_bound_to_the_channel() {
    let server = Server::start().await;
    let home = root("Root");
    let named = self::server(&[HOST]);
    for (case, identity) in [
        ("ECDSA", issue(&named, &home)),
        ("RSA", issue_rsa(&named, &home)),
        ("version 1", issue_version_1(HOST, &home)),
    ] {
        server.become_(Some(&identity), "host").await;
        for (mode, works) in [(SslMode::Require, true), (SslMode::Disable, false)] {
            let password = server.cluster.password();
            let dsn = format!("{} channel_binding=require password={password}", server.dsn(HOST, mode, None));
            assert_eq!(connect(&Config::new(dsn)).await.is_ok(), works, "{case} {mode}");
        }
    }
    server.cluster.stop().await;
}

#[tokio::test]
async fn an_encrypted_statement_is_cancelled_like_any_other() {
    let server = Server::start().await;
    let home = root("Root");
    server.become_(Some(&issue(&self::server(&[HOST]), &home)), "hostssl").await;
    let roots = server.roots(&home.pem());
    let password = server.cluster.password();
    let mut config =
        Config::new(format!("{} password={password}", server.dsn(HOST, SslMode::VerifyFull, Some(&roots))));
    config.application_name = String::from("pool under test");
    let pool = Pool::new(&config).unwrap();
    pool.get().await.unwrap();
    let sleep = pool.query(&SLEEP, &[&60_f64]);
    assert!(tokio::time::timeout(Duration::from_millis(300), sleep).await.is_err());
    until("cancelled", async || running_statements(&server.admin).await == 0).await;
    pool.close().await;
    server.cluster.stop().await;
}

#[tokio::test]
async fn explicit_settings_win_over_the_url() {
    let server = Server::start().await;
    let home = root("Root");
    let other = root("Other root");
    server.become_(Some(&issue(&self::server(&[HOST]), &home)), "host").await;
    let password = server.cluster.password();
    let right = server.roots(&home.pem());
    let wrong = server.files.path().join("other.pem");
    std::fs::write(&wrong, other.pem()).unwrap();
    let dsn = format!("{} password={password}", server.dsn("elsewhere", SslMode::VerifyFull, Some(&wrong)));
    let mut config = Config::new(dsn);
    connect(&config).await.unwrap_err();
    config.ssl_root_cert = Some(right);
    connect(&config).await.unwrap_err();
    config.ssl_mode = Some(SslMode::VerifyCa);
    connect(&config).await.unwrap();
    server.cluster.stop().await;
}

#[test]
fn what_cannot_be_verified_is_refused_before_connecting() {
    let cases = [
        ("postgres://u@h/d?sslmode=verify-ca", "sslmode verify-ca needs root certificates"),
        ("postgres://u@h/d?sslmode=verify-full", "sslmode verify-full needs root certificates"),
        ("postgres://u@h/d?sslmode=require&sslrootcert=system", "weak sslmode require"),
        ("postgres://u@h/d?sslnegotiation=direct", "weak sslmode prefer"),
        ("postgres://u@h/d?sslmode=require&sslrootcert=/nowhere", "root certificates cannot be read"),
        ("postgres://u@h/d?sslmode=verify-ca&sslrootcert=/dev/null", "root certificates cannot be read"),
        ("hostaddr=127.0.0.1 user=u sslrootcert=system", "needs a host name"),
    ];
    for (url, expected) in cases {
        let error: ConfigError = Config::new(url).check().unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
    }
    // Over a socket there is nothing to verify.
    Config::new("postgres:///d?host=/run&user=u&sslmode=verify-full").check().unwrap();
}

/// Runs itself again with another system.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the child is told by its environment what to do")]
async fn the_systems_authorities_are_trusted_when_asked() {
    const TOLD: &str = "PARLANT_TEST_SYSTEM_DSN";
    if let Ok(dsn) = std::env::var(TOLD) {
        let error = connect(&Config::new(dsn)).await.err();
        println!(
            "{}",
            error.map_or("connected", |error| match error {
                Error::Connect(_) => "refused",
                _ => "failed",
            })
        );
        return;
    }
    let server = Server::start().await;
    let home = root("Root");
    server.become_(Some(&issue(&self::server(&[HOST]), &home)), "host").await;
    let right = server.roots(&home.pem());
    let wrong = server.files.path().join("other.pem");
    std::fs::write(&wrong, root("Other root").pem()).unwrap();
    let port = server.cluster.address().port();
    let password = server.cluster.password();
    for (host, authorities, expected) in
        [(HOST, &right, "connected"), ("other.example.test", &right, "refused"), (HOST, &wrong, "refused")]
    {
        // No sslmode: `system` alone means verify-full.
        let dsn = format!(
            "host={host} hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres password={password} sslrootcert=system"
        );
        let output = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tls::the_systems_authorities_are_trusted_when_asked", "--nocapture"])
            .env("SSL_CERT_FILE", authorities)
            .env_remove("SSL_CERT_DIR")
            .env(TOLD, dsn)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(expected), "{host}: {text}");
    }
    server.cluster.stop().await;
}
