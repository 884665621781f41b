//! Numbers as Prometheus' templates print them.

/// `humanizePercentage` of a ratio.
pub(crate) fn percentage(ratio: f64) -> String {
    digits(ratio * 100.0) + "%"
}

/// `humanize1024`.
pub(crate) fn binary(mut value: f64) -> String {
    let mut prefix = "";
    for larger in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if !value.is_finite() || value.abs() < 1024.0 {
            break;
        }
        prefix = larger;
        value /= 1024.0;
    }
    digits(value) + prefix
}

/// `humanizeDuration` of seconds.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return digits(seconds);
    }
    if seconds.abs() < 60.0 {
        let small = seconds != 0.0 && seconds.abs() < 1.0;
        return if small { fraction(seconds) } else { digits(seconds) } + "s";
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the whole seconds of a length of time"
    )]
    let whole = seconds.abs() as u64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours) {
        (0, 0) => format!("{sign}{minutes}m {seconds}s"),
        (0, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

fn fraction(mut value: f64) -> String {
    let mut prefix = "";
    for smaller in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = smaller;
        value *= 1e3;
    }
    digits(value) + prefix
}

/// Four significant digits, as C's and Go's `%.4g`.
fn digits(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:.3e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trimmed = |number: &str| match number.split_once('.') {
        Some(_) => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => number.to_owned(),
    };
    match usize::try_from(3 - exponent) {
        Ok(places) if exponent >= -4 => trimmed(&format!("{value:.places$}")),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_go_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (2.0, "2"),
            (12.345, "12.35"),
            (999.96, "1000"),
            (12_345.0, "1.234e+04"),
            (12_355.0, "1.236e+04"),
            (0.000_123_456, "0.0001235"),
            (0.000_012_345_6, "1.235e-05"),
            (-1.5, "-1.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(digits(value), expected, "{value}");
        }
        assert_eq!(percentage(0.123_456), "12.35%");
        assert_eq!(percentage(1.0), "100%");
    }

    #[test]
    fn lengths_of_time_and_sizes_have_units() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (0.0123, "12.3ms"),
            (1.234_56, "1.235s"),
            (59.999, "60s"),
            (60.0, "1m 0s"),
            (3_725.9, "1h 2m 5s"),
            (97_200.0, "1d 3h 0m 0s"),
            (-90.0, "-1m 30s"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
        assert_eq!(binary(1023.0), "1023");
        assert_eq!(binary(1536.0), "1.5ki");
        assert_eq!(binary(2_684_354_560.0), "2.5Gi");
        assert_eq!(binary(f64::INFINITY), "+Inf");
    }
}
