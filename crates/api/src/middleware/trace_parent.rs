use std::fmt::Write as _;

use actix_web::http::header::HeaderValue;
use uuid::Uuid;

/// This hop's place in a distributed trace, as W3C Trace Context describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceParent {
    /// The next hop of the trace that `incoming` belongs to; the first hop of a new, unsampled one when there is none
    /// or when it is not valid. The ids come from `fresh`.
    pub(crate) fn next(incoming: Option<&HeaderValue>, fresh: Uuid) -> Self {
        let (trace_id, flags) = incoming.and_then(|value| parse(value.as_bytes())).unwrap_or((fresh.as_u128(), 0));
        Self { trace_id, span_id: fresh.as_u64_pair().1, flags }
    }

    /// The trace's id as 32 lower-case hexadecimal digits.
    pub(crate) fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The value of `traceparent`.
    pub(crate) fn header(&self) -> HeaderValue {
        let mut text = String::with_capacity(55);
        let _ = write!(text, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags);
        HeaderValue::from_maybe_shared(actix_web::web::Bytes::from(text))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Trace id and flags of a `traceparent`. Versions after 00 may have more fields, which are not ours to know.
fn parse(value: &[u8]) -> Option<(u128, u8)> {
    let (head, rest) = value.split_at_checked(55)?;
    let version = hexadecimal(&head[..2])?;
    let good_end = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    if !good_end || [head[2], head[35], head[52]] != *b"---" {
        return None;
    }
    let trace_id = hexadecimal(&head[3..35]).filter(|id| *id != 0)?;
    hexadecimal(&head[36..52]).filter(|id| *id != 0)?;
    let flags = hexadecimal(&head[53..55])?;
    // Of the flags only "sampled" is defined.
    Some((trace_id, u8::try_from(flags).ok()? & 1))
}

/// Lower-case digits only, as the specification demands.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let text = std::str::from_utf8(digits).ok()?;
    digits.iter().all(lower).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn next(incoming: &str) -> TraceParent {
        let value = HeaderValue::from_str(incoming).unwrap();
        TraceParent::next(Some(&value), Uuid::from_u128(7))
    }

    #[test]
    fn a_valid_trace_goes_on_with_a_span_of_our_own() {
        let ours = next(EXAMPLE);
        assert_eq!(ours.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(ours.header(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        let later = next(&EXAMPLE.replacen("00-", "42-", 1));
        assert_eq!(later.trace_id(), ours.trace_id());
        assert_eq!(next(&format!("42-{}-more", &EXAMPLE[3..])).trace_id(), ours.trace_id());
    }

    #[test]
    fn what_is_not_valid_starts_a_new_trace() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        for bad in [
            "",
            "00",
            &EXAMPLE.to_uppercase(),
            &EXAMPLE.replacen("00-", "ff-", 1),
            &format!("{EXAMPLE}-more"),
            &EXAMPLE.replace('-', "_"),
            &EXAMPLE.replacen("4b", "+b", 1),
            &zero_trace,
            &zero_span,
        ] {
            let fresh = next(bad);
            assert_eq!(fresh.trace_id(), format!("{:032x}", 7), "{bad}");
            assert!(fresh.header().to_str().unwrap().ends_with("-00"));
        }
    }
}
