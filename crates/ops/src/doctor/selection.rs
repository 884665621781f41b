use crate::doctor::sheet::Sheet;

/// What somebody wants to know: ids, or what they begin with.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Nothing but these; empty: everything.
    pub only: Vec<String>,
    /// Not these.
    pub skip: Vec<String>,
}

impl Selection {
    /// Whether a finding with this id is wanted.
    #[must_use]
    pub fn wants(&self, id: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|prefix| begins(id, prefix)))
            && !self.skip.iter().any(|prefix| begins(id, prefix))
    }

    /// Whether a family is not to be looked at, so that nobody is asked anything on its behalf.
    pub(crate) fn skips(&self, family: &str) -> bool {
        self.skip.iter().any(|prefix| prefix == family)
    }
}

impl Sheet {
    /// Leaves what is wanted, and what is to blame for it or for not having looked.
    pub(crate) fn select(&mut self, selection: &Selection) {
        self.skipped.retain(|skipped| selection.wants(skipped.check));
        let blamed: Vec<_> = self.skipped.iter().filter_map(|skipped| skipped.because).collect();
        self.findings.retain(|finding| {
            selection.wants(finding.id)
                || blamed.contains(&finding.id)
                || finding.explains.iter().any(|id| selection.wants(id))
        });
    }
}

/// `database` and `database.tls` begin `database.tls`, `data` does not.
fn begins(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_select() {
        let selection = |only: &[&str], skip: &[&str]| Selection {
            only: only.iter().map(ToString::to_string).collect(),
            skip: skip.iter().map(ToString::to_string).collect(),
        };
        assert!(selection(&[], &[]).wants("database.tls"));
        assert!(selection(&["database", "sim"], &[]).wants("database.tls"));
        assert!(selection(&["database.tls"], &[]).wants("database.tls"));
        assert!(!selection(&["data"], &[]).wants("database.tls"));
        assert!(!selection(&["database"], &["database.tls"]).wants("database.tls"));
        assert!(selection(&["database"], &["database.tls"]).wants("database.full"));
        assert!(selection(&[], &["sim"]).skips("sim") && !selection(&[], &["sim.unreachable"]).skips("sim"));
    }
}
