//! libpq's two ways to write where a database is, taken apart into parameters.
//!
//! Rules: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>. Errors never repeat a
//! piece of the text: any of it may be a part of a password that was not percent-encoded.

use crate::ConfigError;

/// A parameter and its value. Later ones win.
pub(crate) type Pairs = Vec<(String, String)>;

const ENCODE: ConfigError = ConfigError::Syntax("percent-encode the special characters of the user name and password");

pub(crate) fn parse(text: &str) -> Result<Pairs, ConfigError> {
    let url = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match url {
        Some(rest) => parse_url(rest),
        None if text.contains("://") => Err(ConfigError::Syntax("unknown scheme")),
        None => parse_key_values(text),
    }
}

/// `[user[:password]@][host[:port],...][/dbname][?name=value&...]`
fn parse_url(mut rest: &str) -> Result<Pairs, ConfigError> {
    let mut pairs = Pairs::new();
    let mut add = |name: &str, value: &str| -> Result<(), ConfigError> {
        pairs.push((name.to_owned(), decode(value)?));
        Ok(())
    };
    if let Some((credentials, tail)) = split_credentials(rest) {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        add("user", user)?;
        add("password", password)?;
        rest = tail;
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in authority.split(',') {
        let (host, port) = split_port(part)?;
        hosts.push(host);
        ports.push(port);
    }
    add("host", &hosts.join(","))?;
    add("port", &ports.join(","))?;
    add("dbname", database)?;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or(ConfigError::Syntax("a parameter has no `=`"))?;
        if name.contains('@') || name.contains('/') {
            return Err(ENCODE);
        }
        add(&decode(name)?, value)?;
    }
    if authority.contains('@') {
        return Err(ENCODE);
    }
    // An empty part of a URL is a part not given.
    pairs.retain(|(_, value)| !value.is_empty() && !value.bytes().all(|byte| byte == b','));
    Ok(pairs)
}

/// As libpq does: the first `@`, if it comes before the first `/`.
fn split_credentials(rest: &str) -> Option<(&str, &str)> {
    let at = rest.find(['@', '/'])?;
    rest[at..].strip_prefix('@').map(|tail| (&rest[..at], tail))
}

fn split_port(server: &str) -> Result<(&str, &str), ConfigError> {
    if let Some(bracketed) = server.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(ConfigError::Syntax("a `[` has no `]`"))?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((address, port)),
            None if port.is_empty() => Ok((address, "")),
            None => Err(ConfigError::Syntax("only a port may follow a `]`")),
        };
    }
    Ok(server.split_once(':').unwrap_or((server, "")))
}

fn decode(text: &str) -> Result<String, ConfigError> {
    const BAD: ConfigError = ConfigError::Syntax("a `%` is not followed by two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || rest.next().and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        match (digit(), digit()) {
            (Some(0), Some(0)) => return Err(ConfigError::Syntax("%00 is not allowed")),
            (Some(high), Some(low)) => bytes.push(high * 16 + low),
            _ => return Err(BAD),
        }
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::Syntax("it is not UTF-8"))
}

/// `name = value name = 'quoted \' value'`
fn parse_key_values(text: &str) -> Result<Pairs, ConfigError> {
    let mut pairs = Pairs::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=').ok_or(ConfigError::Syntax("a parameter has no `=`"))?;
        let name = name.trim_end();
        if name.contains(char::is_whitespace) {
            return Err(ConfigError::Syntax("a parameter has no `=`"));
        }
        let (value, tail) = take_value(tail.trim_start())?;
        pairs.push((name.to_owned(), value));
        rest = tail.trim_start();
    }
    Ok(pairs)
}

fn take_value(text: &str) -> Result<(String, &str), ConfigError> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[index + 1..])),
            _ if !quoted && character.is_whitespace() => return Ok((value, &body[index..])),
            _ => value.push(character),
        }
    }
    if quoted {
        return Err(ConfigError::Syntax("a quoted value has no end"));
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, ConfigError> {
        let pairs = parse(text)?;
        Ok(pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn urls_come_apart_as_libpq_takes_them_apart() -> Result<(), ConfigError> {
        let cases: [(&str, &[&str]); 9] = [
            ("postgres://", &[]),
            ("postgresql:///db", &["dbname=db"]),
            ("postgres://h", &["host=h"]),
            ("postgres://u@h/db", &["user=u", "host=h", "dbname=db"]),
            (
                "postgres://u:p%40%2f:x@h:1/d%20b?sslmode=require&options=-c%20a%3Db",
                &["user=u", "password=p@/:x", "host=h", "port=1", "dbname=d b", "sslmode=require", "options=-c a=b"],
            ),
            ("postgres://u@a:1,[::1]:2,c/db", &["user=u", "host=a,::1,c", "port=1,2,", "dbname=db"]),
            ("postgres://%2Frun%2Fpg/db?port=7", &["host=/run/pg", "dbname=db", "port=7"]),
            ("postgres://u:pa?ss@h", &["user=u", "password=pa?ss", "host=h"]),
            ("postgres:///d?host=/run&user=u", &["dbname=d", "host=/run", "user=u"]),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text)?, expected, "{text}");
        }
        Ok(())
    }

    #[test]
    fn key_value_strings_come_apart_as_libpq_takes_them_apart() -> Result<(), ConfigError> {
        let cases: [(&str, &[&str]); 4] = [
            ("", &[]),
            ("host=h  port = 1", &["host=h", "port=1"]),
            (r"password='it\'s \\ = x' user=a\ b", &[r"password=it's \ = x", "user=a b"]),
            ("password='' dbname=d", &["password=", "dbname=d"]),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text)?, expected, "{text}");
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for text in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2%4@h/d",
            "postgres://u:hunter2%00@h/d",
            "postgres://u:x@hunter2@h/d",
            "postgres://u:x/hunter2?a@h/d=1",
            "postgres://u@[::1/hunter2",
            "postgres://u@h/d?hunter2",
            "hunter2",
            "password='hunter2",
            "password=x hunter2 host=h",
        ] {
            let error = parse(text).err().map(|error| format!("{error} {error:?}"));
            assert!(error.as_ref().is_some_and(|error| !error.contains("hunter2")), "{text}: {error:?}");
        }
    }
}
