//! Just enough of PostgreSQL's lexical rules to count the statements of a migration and to read what they make.

/// The line that takes a file out of the transaction it would otherwise run in.
const NO_TRANSACTION: &str = "-- no-transaction";

/// Whether a migration asks to run outside of a transaction.
pub(crate) fn is_no_transaction(sql: &str) -> bool {
    sql.lines().next().is_some_and(|line| line.trim_end() == NO_TRANSACTION)
}

/// A statement of a migration.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The words and signs. Words are folded to lower case unless they were quoted; comments and quoted text are left
    /// out, because nothing here asks about them.
    words: Vec<String>,
    /// As it stands in the file, with the comments before it.
    pub(crate) text: String,
}

/// An index that a statement makes with `CREATE INDEX CONCURRENTLY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConcurrentIndex {
    /// Its name; `None` where PostgreSQL would choose one.
    pub(crate) name: Option<String>,
    /// Whether the statement may be run again.
    pub(crate) if_not_exists: bool,
}

/// An index that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IndexChange {
    /// `CREATE INDEX`: its name and its table's.
    Made(String, String),
    /// `DROP INDEX`, one for each name.
    Dropped(Vec<String>),
}

/// A table that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableChange {
    /// `CREATE TABLE`.
    Made(String),
    /// `DROP TABLE`, one for each name.
    Dropped(Vec<String>),
    /// `ALTER TABLE .. RENAME TO`.
    Renamed(String, String),
}

impl Statement {
    fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// What `CREATE [UNIQUE] INDEX CONCURRENTLY` makes, if that is what the statement is.
    pub(crate) fn concurrent_index(&self) -> Option<ConcurrentIndex> {
        let words = self.words();
        let (["create", "index", "concurrently", rest @ ..] | ["create", "unique", "index", "concurrently", rest @ ..]) =
            words.as_slice()
        else {
            return None;
        };
        let named = if_exists(rest);
        let name = named.first().filter(|word| **word != "on").map(|&word| word.to_owned());
        Some(ConcurrentIndex { name, if_not_exists: named.len() < rest.len() })
    }

    /// What the statement does to the list of indexes that have names of ours.
    pub(crate) fn index_change(&self) -> Option<IndexChange> {
        let words = self.words();
        match words.as_slice() {
            ["create", "index", rest @ ..] | ["create", "unique", "index", rest @ ..] => {
                let rest = if_exists(rest.strip_prefix(&["concurrently"]).unwrap_or(rest));
                let [name, "on", table @ ..] = rest else { return None };
                let table = table_name(table.strip_prefix(&["only"]).unwrap_or(table))?;
                Some(IndexChange::Made((*name).to_owned(), table))
            }
            ["drop", "index", rest @ ..] => {
                let rest = if_exists(rest.strip_prefix(&["concurrently"]).unwrap_or(rest));
                let names = rest.split(|word| *word == ",").filter_map(table_name);
                Some(IndexChange::Dropped(names.collect()))
            }
            _ => None,
        }
    }

    /// What the statement does to the list of tables.
    pub(crate) fn table_change(&self) -> Option<TableChange> {
        match self.words().as_slice() {
            ["create", "table", rest @ ..] | ["create", "unlogged", "table", rest @ ..] => {
                table_name(if_exists(rest)).map(TableChange::Made)
            }
            ["drop", "table", rest @ ..] => {
                let names = if_exists(rest).split(|word| *word == ",").filter_map(table_name);
                Some(TableChange::Dropped(names.collect()))
            }
            ["alter", "table", rest @ ..] => {
                let rest = if_exists(rest);
                let rest = rest.strip_prefix(&["only"]).unwrap_or(rest);
                match rest {
                    [old, "rename", "to", new] | [_, ".", old, "rename", "to", new] => {
                        Some(TableChange::Renamed((*old).to_owned(), (*new).to_owned()))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The word of a statement that would end or start a transaction under the runner's feet.
    pub(crate) fn transaction_control(&self) -> Option<&str> {
        const WORDS: [&str; 7] = ["begin", "start", "commit", "end", "rollback", "abort", "prepare"];
        self.words.first().map(String::as_str).filter(|word| WORDS.contains(word))
    }
}

/// What follows `IF EXISTS` or `IF NOT EXISTS`, or everything.
fn if_exists<'a>(words: &'a [&'a str]) -> &'a [&'a str] {
    match words {
        ["if", "not", "exists", rest @ ..] | ["if", "exists", rest @ ..] => rest,
        _ => words,
    }
}

/// The table's name that these words begin with, without its schema.
fn table_name(words: &[&str]) -> Option<String> {
    match words {
        [_, ".", name, ..] | [name, ..] => Some((*name).to_owned()),
        [] => None,
    }
}

/// Cuts a file into its statements.
pub(crate) fn statements(sql: &str) -> Vec<Statement> {
    let (mut statements, mut words, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    let (mut rest, mut begin) = (sql, sql);
    let text = |begin: &str, rest: &str| begin[..begin.len() - rest.len()].trim().to_owned();
    while let Some((word, further)) = next_word(rest) {
        rest = further;
        // Nobody quotes a name that is one of these signs.
        match word.as_str() {
            ";" if depth == 0 => {
                statements.push(Statement { words: std::mem::take(&mut words), text: text(begin, rest) });
                begin = rest;
                continue;
            }
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        words.push(word);
    }
    statements.push(Statement { words, text: begin.trim().to_owned() });
    statements.retain(|statement| !statement.words.is_empty());
    statements
}

/// The next word or sign and the text behind it; quoted text counts as a space.
fn next_word(mut text: &str) -> Option<(String, &str)> {
    loop {
        text = text.trim_start();
        let first = text.chars().next()?;
        if let Some(comment) = text.strip_prefix("--") {
            text = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if text.starts_with("/*") {
            text = skip_block_comment(text);
        } else if let Some(string) = text.strip_prefix('\'') {
            text = skip_quoted(string, '\'', false);
        } else if let Some(string) = text.strip_prefix(['e', 'E']).and_then(|rest| rest.strip_prefix('\'')) {
            text = skip_quoted(string, '\'', true);
        } else if let Some(rest) = skip_dollar_quoted(text) {
            text = rest;
        } else if let Some(quoted) = text.strip_prefix('"') {
            let rest = skip_quoted(quoted, '"', false);
            let inner = quoted.get(..quoted.len() - rest.len()).unwrap_or(quoted);
            let inner = inner.strip_suffix('"').unwrap_or(inner);
            return Some((inner.replace("\"\"", "\""), rest));
        } else if first.is_alphanumeric() || first == '_' {
            let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            return Some((word.to_lowercase(), rest));
        } else {
            return Some((first.to_string(), text.get(first.len_utf8()..)?));
        }
    }
}

/// What follows a comment; PostgreSQL's nest.
fn skip_block_comment(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut rest = text;
    loop {
        let Some(at) = rest.find("/*").into_iter().chain(rest.find("*/")).min() else {
            return "";
        };
        let (mark, further) = rest.split_at(at).1.split_at(2);
        depth = if mark == "/*" { depth + 1 } else { depth.saturating_sub(1) };
        rest = further;
        if depth == 0 {
            return rest;
        }
    }
}

/// What follows the closing quote of a text whose opening quote is already gone. A doubled quote stands for itself.
fn skip_quoted(text: &str, quote: char, backslashes: bool) -> &str {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if backslashes && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return text.get(at + quote.len_utf8()..).unwrap_or("");
        }
    }
    ""
}

/// What follows `$tag$ .. $tag$`, if the text begins with that.
fn skip_dollar_quoted(text: &str) -> Option<&str> {
    let (tag, _) = text.strip_prefix('$')?.split_once('$')?;
    if tag.starts_with(|c: char| c.is_ascii_digit()) || !tag.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let (mark, body) = text.split_at(tag.len() + 2);
    Some(body.split_once(mark).map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(sql: &str) -> Vec<TableChange> {
        statements(sql).iter().filter_map(Statement::table_change).collect()
    }

    #[test]
    fn a_semicolon_in_quotes_comments_or_parentheses_ends_nothing() {
        for one in [
            "select ';'",
            "select 'it''s; fine'",
            r"select E'\'; still' ;",
            "select \"a;b\" -- ; here\n",
            "/* ; /* nested ; */ ; */ select 1;",
            "do $$ begin; end; $$;",
            "create function f() returns int language sql as $body$ select 1; $body$",
            "create rule r as on insert to t do also (select 1; select 2)",
            ";;select 1;;",
        ] {
            assert_eq!(statements(one).len(), 1, "{one}");
        }
        assert_eq!(statements("select 1; select $1; select 2").len(), 3);
        assert!(statements("-- nothing\n/* at all").is_empty());
    }

    #[test]
    fn names_are_read_as_postgres_reads_them() {
        assert_eq!(made("CREATE TABLE Parlant_A (x int)"), [TableChange::Made("parlant_a".into())]);
        assert_eq!(
            made("create unlogged table if not exists public.\"Parlant_B\" ()"),
            [TableChange::Made("Parlant_B".into())]
        );
        assert_eq!(
            made("drop table if exists a, public.b cascade"),
            [TableChange::Dropped(vec!["a".into(), "b".into()])]
        );
        assert_eq!(
            made("alter table if exists only public.a rename to b"),
            [TableChange::Renamed("a".into(), "b".into())]
        );
        assert!(
            made("alter table a rename column b to c; create temp table x (); create view v as select 1").is_empty()
        );
    }

    #[test]
    fn a_concurrent_index_is_told_from_other_statements() {
        let read = |sql: &str| statements(sql).first().and_then(Statement::concurrent_index);
        assert_eq!(
            read("create unique index concurrently if not exists i on t (a)"),
            Some(ConcurrentIndex { name: Some("i".into()), if_not_exists: true })
        );
        assert_eq!(
            read("create index concurrently on t (a)"),
            Some(ConcurrentIndex { name: None, if_not_exists: false })
        );
        assert_eq!(read("create index i on t (a)"), None);
    }

    #[test]
    fn an_index_has_a_table_and_the_text_that_makes_it() {
        let sql = "create table t (a int);\n-- Why.\ncreate unique index concurrently if not exists I on only public.T (a) where b = 'x;';\n
                   create index on t (a); drop index concurrently if exists i, public.j;";
        let read = statements(sql);
        let changes: Vec<_> = read.iter().filter_map(Statement::index_change).collect();
        let dropped = IndexChange::Dropped(vec!["i".into(), "j".into()]);
        assert_eq!(changes, [IndexChange::Made("i".into(), "t".into()), dropped]);
        assert!(
            read[1].text.starts_with("-- Why.\ncreate unique") && read[1].text.ends_with("'x;';"),
            "{}",
            read[1].text
        );
    }

    #[test]
    fn only_the_very_first_line_takes_a_file_out_of_its_transaction() {
        assert!(is_no_transaction("-- no-transaction\ncreate index"));
        assert!(is_no_transaction("-- no-transaction\r\ncreate index"));
        assert!(!is_no_transaction("\n-- no-transaction\ncreate index"));
        assert!(!is_no_transaction("-- no-transactions\n"));
    }
}
