use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A type that a variable's text can be read as.
pub trait FromSetting: Sized {
    /// Reads the text, already trimmed and not empty.
    ///
    /// # Errors
    /// Says what is expected, without repeating the text: it may be a secret put under a wrong name.
    fn from_setting(text: &str) -> Result<Self, String>;
}

macro_rules! from_str {
    ($($type:ty => $expected:literal),* $(,)?) => {$(
        impl FromSetting for $type {
            fn from_setting(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("must be {}", $expected))
            }
        }
    )*};
}

from_str! {
    String => "text",
    u16 => "a whole number from 0 to 65535",
    u32 => "a whole number of 0 or more",
    u64 => "a whole number of 0 or more",
    usize => "a whole number of 0 or more",
    i64 => "a whole number",
    f64 => "a number",
    PathBuf => "a path",
    IpAddr => "an IP address",
    SocketAddr => "an address with a port, such as 127.0.0.1:9100",
}

impl FromSetting for bool {
    fn from_setting(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }
}

/// A bare number is seconds; `ms`, `s`, `m`, `h` and `d` are units.
impl FromSetting for Duration {
    fn from_setting(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "must be a duration such as 30, 500ms, 5s, 1m or 4h";
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let milliseconds = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "ms" => 1.0,
            "" | "s" => 1e3,
            "m" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            _ => return Err(EXPECTED.to_owned()),
        };
        let number: f64 = digits.trim().parse().map_err(|_| EXPECTED.to_owned())?;
        // A century is beyond every timer here and keeps arithmetic on deadlines from overflowing.
        let seconds = number * milliseconds / 1e3;
        if !(0.0..=3_155_760_000.0).contains(&seconds) {
            return Err(EXPECTED.to_owned());
        }
        Ok(Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_unless_a_unit_is_given() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("0.5", 500),
            ("500ms", 500),
            ("5s", 5_000),
            ("1m", 60_000),
            ("4 h", 14_400_000),
            ("7d", 604_800_000),
            ("0", 0),
        ] {
            assert_eq!(Duration::from_setting(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-1", "1x", "1 year", "NaN", "inf", "1e300"] {
            assert!(Duration::from_setting(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_have_the_usual_spellings_and_no_others() {
        assert_eq!(bool::from_setting("On"), Ok(true));
        assert_eq!(bool::from_setting("0"), Ok(false));
        assert!(bool::from_setting("enabled").is_err());
    }
}
