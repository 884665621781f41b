//! What a client presents, taken apart without asking anybody.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use percent_encoding::percent_decode;

use crate::Reason;

/// A raw token or the token half of a signed one. Better Auth makes 32 characters.
const TOKEN_MAX: usize = 128;
/// A whole credential, as it arrives. JWTs are the long ones.
const CREDENTIAL_MAX: usize = 8 * 1024;
/// HMAC-SHA256 in padded base64.
const SIGNATURE_LENGTH: usize = 44;

/// How a credential came. The cookie's name is kept because Sim reads only the one that its own scheme gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// `Authorization: Bearer`, or the body of a validation request.
    Bearer,
    /// The cookie that Sim sets under https.
    SecureCookie,
    /// The cookie that Sim sets under plain http.
    Cookie,
}

impl Carrier {
    /// The cookie's name, for the two that are cookies.
    #[must_use]
    pub const fn cookie_name(self) -> Option<&'static str> {
        match self {
            Self::Bearer => None,
            Self::SecureCookie => Some("__Secure-better-auth.session_token"),
            Self::Cookie => Some("better-auth.session_token"),
        }
    }
}

/// The form of a credential, which tells how it is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `token.signature`; the number is the length of the token.
    Signed(usize),
    /// The bare token of a session.
    Raw,
    /// Three base64url segments.
    Jwt,
}

impl Form {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Signed(_) => "signed token",
            Self::Raw => "raw token",
            Self::Jwt => "JWT",
        }
    }
}

/// The address of the client that sent a request, for those who know better than the connection: behind a proxy, say.
/// A middleware puts it into the request's extensions, and [`Credential::with_client`] hands it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

/// One credential of one request. Parsing never fails: what makes no sense is refused when it is authenticated, so
/// that it is counted like every other refusal. `Debug` shows no part of it.
///
/// ```
/// use parlant_auth_bridge::Credential;
///
/// let cookies = [b"theme=dark; better-auth.session_token=token.signature".as_slice()];
/// assert!(Credential::from_headers([], cookies).is_some());
/// assert!(Credential::from_headers([], []).is_none());
/// ```
#[derive(Clone)]
pub struct Credential {
    value: String,
    form: Result<Form, Reason>,
    carrier: Carrier,
    client: Option<IpAddr>,
}

impl Credential {
    /// The token of an `Authorization: Bearer` header, without the scheme: raw, signed, or a JWT. A signed one may
    /// be percent-encoded, as it is in the cookie that it was copied from.
    #[must_use]
    pub fn from_bearer(token: &str) -> Self {
        Self::new(token.as_bytes(), Carrier::Bearer)
    }

    /// The session cookie out of the values of all `Cookie` headers: `__Secure-better-auth.session_token`, else
    /// `better-auth.session_token`. Of two with one name the first counts, and one pair of double quotes is
    /// dropped, as Sim does. An empty cookie is none.
    pub fn from_cookies<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let (mut secure, mut plain) = (None, None);
        for pair in headers.into_iter().flat_map(|header| header.split(|byte| *byte == b';')) {
            let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let name = pair[..equals].trim_ascii();
            let place = if is_name(Carrier::SecureCookie, name) {
                &mut secure
            } else if is_name(Carrier::Cookie, name) {
                &mut plain
            } else {
                continue;
            };
            place.get_or_insert(unquoted(pair[equals + 1..].trim_ascii()));
        }
        let present = |value: &&[u8]| !value.is_empty();
        secure
            .filter(present)
            .map(|value| Self::new(value, Carrier::SecureCookie))
            .or_else(|| plain.filter(present).map(|value| Self::new(value, Carrier::Cookie)))
    }

    /// The credential of a request, from the values of its `Authorization` and `Cookie` headers; `None` when it
    /// presents nothing.
    ///
    /// The header wins whenever it says `Bearer` (in any case), however little sense the rest of it makes: a client
    /// that meant to present one identity must not be taken for another. Any other scheme (`Basic` for a proxy in
    /// front, say) is not addressed to the bridge and is passed over. Two `Bearer` headers are refused, because
    /// proxies disagree about which of them counts.
    pub fn from_headers<'a>(
        authorization: impl IntoIterator<Item = &'a [u8]>,
        cookies: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut tokens = authorization.into_iter().filter_map(bearer_token);
        match (tokens.next(), tokens.next()) {
            (None, _) => Self::from_cookies(cookies),
            (Some(token), None) => Some(Self::new(token, Carrier::Bearer)),
            (Some(_), Some(_)) => Some(Self::new(b"", Carrier::Bearer)),
        }
    }

    /// Notes the address of the client, which Sim's rate limit wants to know when it is asked over HTTP.
    #[must_use]
    pub const fn with_client(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    /// How it came.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        self.carrier
    }

    pub(crate) const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(crate) const fn form(&self) -> Result<Form, Reason> {
        self.form
    }

    /// The decoded text; empty when it is malformed.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    fn new(encoded: &[u8], carrier: Carrier) -> Self {
        let decoded = decode(encoded);
        let form = decoded.as_deref().ok_or(Reason::Malformed).and_then(|value| classify(value, carrier));
        let value = decoded.filter(|_| form.is_ok()).map(Cow::into_owned).unwrap_or_default();
        Self { value, form, carrier, client: None }
    }
}

/// Of what it says, however that is encoded and came; all that make no sense are one. For counting without keeping it.
impl Hash for Credential {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = self.form.map_or_else(Reason::as_str, Form::name);
        f.debug_struct("Credential").field("form", &form).field("carrier", &self.carrier).finish_non_exhaustive()
    }
}

/// What follows `Bearer` in an `Authorization` header; `None` for another scheme.
fn bearer_token(header: &[u8]) -> Option<&[u8]> {
    let header = header.trim_ascii();
    let end = header.iter().position(u8::is_ascii_whitespace).unwrap_or(header.len());
    let (scheme, token) = header.split_at(end);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

fn is_name(carrier: Carrier, name: &[u8]) -> bool {
    carrier.cookie_name().is_some_and(|expected| expected.as_bytes() == name)
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn decode(encoded: &[u8]) -> Option<Cow<'_, str>> {
    if encoded.len() > CREDENTIAL_MAX {
        return None;
    }
    percent_decode(encoded).decode_utf8().ok()
}

fn classify(value: &str, carrier: Carrier) -> Result<Form, Reason> {
    let form = match value.rsplit_once('.') {
        Some((token, signature)) if is_signature(signature) && is_token(token) => Form::Signed(token.len()),
        None if is_token(value) => Form::Raw,
        Some(_) if is_jwt(value) => Form::Jwt,
        _ => return Err(Reason::Malformed),
    };
    match (form, carrier) {
        (Form::Signed(_), _) | (_, Carrier::Bearer) => Ok(form),
        (Form::Raw | Form::Jwt, Carrier::SecureCookie | Carrier::Cookie) => Err(Reason::Unsigned),
    }
}

fn is_token(text: &str) -> bool {
    (1..=TOKEN_MAX).contains(&text.len()) && text.bytes().all(is_base64url)
}

fn is_signature(text: &str) -> bool {
    text.len() == SIGNATURE_LENGTH
        && text.strip_suffix('=').is_some_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
        })
}

fn is_jwt(text: &str) -> bool {
    text.split('.').count() == 3
        && text.split('.').all(|segment| !segment.is_empty() && segment.bytes().all(is_base64url))
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests;
