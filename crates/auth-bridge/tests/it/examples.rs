//! The examples run, and both say the same.

#[path = "../../examples/actix.rs"]
mod actix;
#[path = "../../examples/axum.rs"]
mod axum;
#[path = "../../examples/client/mod.rs"]
mod client;

const EXPECTED: &str = r#"/ nobody: 200 [-] Welcome, stranger
/ letmein: 200 [-] Welcome back
/ guessed: 401 [Bearer error="invalid_token"] Invalid or expired session token
/hello nobody: 401 [Bearer] Authentication required
/hello guessed: 401 [Bearer error="invalid_token"] Invalid or expired session token
/hello letmein: 200 [-] Hello, Name of ada
/write/ada-Desk letmein: 200 [-] Written
/write/ada-Shelf letmein: 403 [-] Access denied
/members nobody: 401 [Bearer] Authentication required
/members letmein: 200 [-] Members only
"#;

#[tokio::test]
async fn the_example_of_actix_web_does_what_it_says() {
    assert_eq!(actix::run().await.unwrap(), EXPECTED);
}

#[tokio::test]
async fn the_example_of_axum_does_what_it_says() {
    assert_eq!(axum::run().await.unwrap(), EXPECTED);
}
