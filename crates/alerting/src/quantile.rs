//! `PromQL`'s `histogram_quantile`.

/// The quantile `q` (0 to 1) of what fell into these buckets: each up to and including its bound, those below it
/// counted with it. Within a bucket everything is taken to be spread evenly. Not a number without observations, or
/// without a bucket for all of them.
pub(crate) fn quantile(q: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    // The same bound written in two ways.
    buckets.dedup_by(|(bound, count), (before, sum)| {
        let same = bound.total_cmp(before).is_eq();
        if same {
            *sum += *count;
        }
        same
    });
    // Buckets are read one after the other, so that a later one may seem to hold less.
    let mut most = f64::NEG_INFINITY;
    for (_, count) in &mut buckets {
        if *count < most {
            *count = most;
        }
        most = *count;
    }
    let (finite, all) = match &buckets[..] {
        [finite @ .., (_, all)] if !finite.is_empty() && *all != 0.0 => (finite, *all),
        _ => return f64::NAN,
    };
    let rank = q * all;
    let Some(index) = finite.iter().position(|(_, count)| *count >= rank) else {
        return finite[finite.len() - 1].0;
    };
    let (end, count) = finite[index];
    let (start, below) = match index.checked_sub(1) {
        Some(before) => finite[before],
        None if end <= 0.0 => return end,
        None => (0.0, 0.0),
    };
    start + (end - start) * ((rank - below) / (count - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: f64 = f64::INFINITY;

    #[track_caller]
    fn hold(buckets: &[(f64, f64)], qs: &[f64], expected: &[f64]) {
        let found: Vec<_> = qs.iter().map(|q| quantile(*q, buckets.to_vec())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn it_is_interpolated_within_its_bucket() {
        let buckets = [(ALL, 100.0), (0.5, 50.0), (1.0, 90.0), (2.5, 98.0)];
        // Beyond the last bound nobody knows more.
        hold(&buckets, &[0.25, 0.5, 0.7, 0.94, 0.99], &[0.25, 0.5, 0.75, 1.75, 2.5]);
        hold(&[(-1.0, 80.0), (ALL, 100.0)], &[0.5], &[-1.0]);
    }

    #[test]
    fn buckets_that_contradict_each_other_are_mended() {
        hold(&[(1.0, 50.0), (2.0, 40.0), (ALL, 100.0)], &[0.5], &[1.0]);
        hold(&[(1.0, 20.0), (1.0, 30.0), (ALL, 100.0)], &[0.5], &[1.0]);
    }

    #[test]
    fn without_observations_or_a_last_bucket_there_is_none() {
        for buckets in [vec![], vec![(1.0, 0.0), (ALL, 0.0)], vec![(1.0, 5.0), (2.0, 9.0)], vec![(ALL, 5.0)]] {
            assert!(quantile(0.95, buckets.clone()).is_nan(), "{buckets:?}");
        }
    }
}
