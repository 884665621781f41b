use actix_web::HttpResponse;
use actix_web::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Answers a page that is complete in itself. Of scripts and styles its own run, known by their digests; it talks to
/// this server alone, is framed by nobody, and makes no markup out of text.
pub(super) fn page(html: &'static str) -> HttpResponse {
    let (script, style) = (digest(html, "script"), digest(html, "style"));
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HttpResponse::Ok()
        .insert_header(header::ContentType::html())
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .body(html)
}

/// How a policy names the one element of that name: by what stands in it.
fn digest(html: &str, element: &str) -> String {
    let (start, end) = (format!("<{element}"), format!("</{element}>"));
    let rest = html.split_once(&start).and_then(|(_, rest)| rest.split_once('>'));
    let inner = rest.and_then(|(_, rest)| rest.split_once(&end)).map_or("", |(inner, _)| inner);
    format!("sha256-{}", STANDARD.encode(Sha256::digest(inner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_known_by_what_stands_in_it() {
        // printf "let a = 1;" | openssl dgst -sha256 -binary | base64
        let expected = "sha256-xY6QKfH9PRsQnLz56nj6MBwiK5oHg+im1Jkpdp1x/Ck=";
        assert_eq!(digest("<p><script type=\"module\">let a = 1;</script><i>", "script"), expected);
    }
}
