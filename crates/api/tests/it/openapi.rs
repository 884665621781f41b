//! The description of the interface: complete, consistent, and what the server really does. Every answer that the other
//! tests get is held against it, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use parlant_test_support::database;
use reqwest::Method;
use serde_json::{Map, Value};

use crate::house::{Answer, Server, exporter};

static DOCUMENT: LazyLock<Value> = LazyLock::new(parlant_api::openapi);

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Every operation, with its path and method.
fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = entries(&DOCUMENT["paths"]);
    paths
        .flat_map(|(path, item)| entries(item).map(move |(method, found)| (path.as_str(), method.as_str(), found)))
        .collect()
}

/// What a reference stands for.
fn whole(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(to) => {
            let target = to.strip_prefix('#').and_then(|pointer| DOCUMENT.pointer(pointer));
            whole(target.unwrap_or_else(|| panic!("{to} leads nowhere")))
        }
        None => value,
    }
}

/// Panics unless an answer is one that is described. Other paths and methods are others' business.
#[track_caller]
pub(crate) fn describes(method: &Method, path: &str, answer: &Answer) {
    let path = path.trim_end_matches('/');
    let fits = |pattern: &str| {
        let (ours, theirs) = (pattern.split('/'), path.split('/'));
        ours.clone().count() == theirs.clone().count()
            && ours.zip(theirs).all(|(ours, theirs)| ours == theirs || ours.starts_with('{'))
    };
    let known = operations().into_iter().filter(|(pattern, ..)| fits(pattern));
    // As the router, by the fewest parameters.
    let patterns = known.min_by_key(|(pattern, ..)| pattern.matches('{').count());
    let Some((pattern, ..)) = patterns else { return };
    let asked = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_ascii_lowercase() };
    let operation = whole(&DOCUMENT["paths"][pattern])[&asked].as_object();
    let Some(operation) = operation else { return };
    if answer.text.contains(r#""code":"NOT_FOUND""#) {
        // This server leaves the path out.
        return;
    }
    let response = operation["responses"].get(answer.status.as_str());
    let response = whole(response.unwrap_or_else(|| panic!("{method} {pattern} does not say {answer:?}")));
    for (name, _) in entries(&response["headers"]) {
        let always = ["X-Request-ID", "traceparent", "Location", "ETag", "Retry-After", "WWW-Authenticate"];
        assert!(!always.contains(&name.as_str()) || !answer.header(name.as_str()).is_empty(), "{name}: {answer:?}");
    }
    let limited = response["headers"].get("X-RateLimit-Limit").is_some();
    assert!(limited || answer.header("x-ratelimit-limit").is_empty(), "{method} {pattern} is limited: {answer:?}");
    if method == Method::HEAD || answer.status == 101 || answer.status == 204 {
        return;
    }
    let content_type = answer.header("content-type");
    let content = response["content"].get(content_type);
    let content = content.unwrap_or_else(|| panic!("{method} {pattern} is not {content_type}: {answer:?}"));
    if content_type.ends_with("json") {
        let fits = check(&content["schema"], &answer.json());
        fits.unwrap_or_else(|problem| panic!("{method} {pattern}: {problem}: {answer:?}"));
    }
}

/// Adds the properties of an object's schema, and those of the schemas that it is made of.
fn properties(schema: &'static Value, into: &mut BTreeMap<&'static str, (&'static Value, bool)>) {
    let schema = whole(schema);
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
    into.extend(entries(&schema["properties"]).map(|(name, schema)| (name.as_str(), (schema, required(name)))));
    schema["allOf"].as_array().into_iter().flatten().for_each(|part| properties(part, into));
}

/// Why a value is not what a schema says. Stricter than a schema is: a property that it does not name is a problem.
fn check(schema: &'static Value, value: &Value) -> Result<(), String> {
    let schema = whole(schema);
    for several in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[several].as_array() {
            let problems: Vec<_> = choices.iter().filter_map(|choice| check(choice, value).err()).collect();
            if problems.len() == choices.len() {
                return Err(problems.join(" and "));
            }
        }
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |expected: &Value| expected == kind || (expected == "number" && kind == "integer");
    let allowed = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        only => is(only),
    };
    if !allowed {
        return Err(format!("{value} is not of type {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        return Err(format!("{value} is none of {}", schema["enum"]));
    }
    let text = value.as_str().unwrap_or_default();
    let good = match schema["format"].as_str() {
        _ if !value.is_string() => true,
        Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
        Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        _ => true,
    };
    if !good {
        return Err(format!("{value} is not in the format {}", schema["format"]));
    }
    value.as_array().into_iter().flatten().try_for_each(|item| check(&schema["items"], item))?;
    let Some(object) = value.as_object() else { return Ok(()) };
    let mut known = BTreeMap::new();
    properties(schema, &mut known);
    check_object(&known, &schema["additionalProperties"], object)
}

fn check_object(
    known: &BTreeMap<&'static str, (&'static Value, bool)>,
    others: &'static Value,
    object: &Map<String, Value>,
) -> Result<(), String> {
    for (name, value) in object {
        match known.get(name.as_str()) {
            Some((schema, _)) => check(schema, value).map_err(|problem| format!("{name}: {problem}"))?,
            None if others.is_object() => check(others, value).map_err(|problem| format!("{name}: {problem}"))?,
            None if known.is_empty() => {}
            None => return Err(format!("{name} is not described")),
        }
    }
    match known.iter().find(|(name, (_, required))| *required && !object.contains_key(**name)) {
        Some((name, _)) => Err(format!("{name} is missing")),
        None => Ok(()),
    }
}

#[tokio::test]
async fn the_document_has_every_route_of_the_router_and_no_other() {
    let database = database().await;
    let server = Server::start(&database);
    let answer = server.get("/openapi.json").await;
    assert_eq!(answer.expect(200), *DOCUMENT);
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(DOCUMENT["openapi"].as_str().unwrap().starts_with("3.1."));

    // Each mounted endpoint has its series from the start.
    let page = exporter().render();
    let series = page.lines().filter_map(|line| line.strip_prefix("parlant_http_requests_total{"));
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let mounted = series.map(|line| (label(line, "endpoint"), label(line, "method").to_ascii_lowercase()));
    // `dev` alone has the page at `/`; other tests mount under `/test/`.
    let elsewhere = |path: &str| path == "/" || path == "unmatched" || path.starts_with("/test/");
    let mounted: BTreeSet<_> =
        mounted.filter(|(path, method)| !elsewhere(path) && !["head", "other"].contains(&method.as_str())).collect();
    let described: BTreeSet<_> =
        operations().iter().map(|(path, method, _)| ((*path).to_owned(), (*method).to_owned())).collect();
    assert_eq!(described, mounted);
}

#[test]
fn every_operation_says_who_may_what_it_answers_and_how_it_fails() {
    let mut ids = BTreeSet::new();
    let tags: Vec<_> = DOCUMENT["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (path, method, operation) in operations() {
        let name = format!("{method} {path}");
        let text = |field: &str| operation[field].as_str().unwrap_or_default();
        assert!(ids.insert(text("operationId")), "{name}: another has its id");
        assert!(!text("summary").is_empty() && !text("summary").ends_with('.'), "{name}");
        assert!(tags.contains(&&operation["tags"][0]), "{name}");

        let security = operation["security"].as_array().unwrap_or_else(|| panic!("{name} does not say who may"));
        let open = security.iter().any(|choice| choice.as_object().unwrap().is_empty());
        for (scheme, _) in security.iter().flat_map(entries) {
            assert!(DOCUMENT["components"]["securitySchemes"].get(scheme).is_some(), "{name}: {scheme}");
        }
        let statuses: BTreeSet<_> = entries(&operation["responses"]).map(|(status, _)| status.as_str()).collect();
        let mut expected = vec!["500"];
        expected.extend((!open).then_some("401"));
        expected.extend((!open && path.starts_with("/api/")).then_some("503"));
        expected.extend(path.contains('{').then_some("404"));
        if operation.get("requestBody").is_some() {
            expected.extend(["400", "408", "413", "415"]);
        }
        let missing: Vec<_> = expected.iter().filter(|status| !statuses.contains(**status)).collect();
        assert!(missing.is_empty(), "{name} does not say {missing:?}");
        assert!(statuses.iter().any(|status| ["101", "200", "201"].contains(status)), "{name}");

        for (status, response) in entries(&operation["responses"]) {
            let response = whole(response);
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            assert!(response["headers"].get("X-Request-ID").is_some(), "{name} {status}");
            if status != "101" && status != "204" {
                assert!(examples(&name, &response["content"]) > 0, "{name} {status} has no example");
            }
        }
        if let Some(body) = operation.get("requestBody") {
            assert!(examples(&name, &body["content"]) > 0, "{name} has no example of its body");
        }
        let parameters = operation["parameters"].as_array();
        let named: BTreeSet<_> = parameters
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
            .collect();
        let expected: BTreeSet<_> = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(named, expected, "{name}");
    }
}

/// How many examples some content has, each of which must be what its schema says.
fn examples(name: &str, content: &'static Value) -> usize {
    let mut count = 0;
    for (_, media) in entries(content) {
        let several = entries(&media["examples"]).map(|(_, example)| &example["value"]);
        for example in several.chain(media.get("example")) {
            check(&media["schema"], example).unwrap_or_else(|problem| panic!("{name}: {problem}: {example}"));
            count += 1;
        }
        count += usize::from(is_illustrated(&media["schema"]));
    }
    count
}

/// Whether a schema has an example, or can have one put together from its parts.
fn is_illustrated(schema: &'static Value) -> bool {
    let schema = whole(schema);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let parts = parts.chain(schema.get("items")).chain(entries(&schema["properties"]).map(|(_, property)| property));
    schema.get("example").is_some() || parts.into_iter().any(is_illustrated)
}

#[test]
fn every_example_is_what_its_schema_says() {
    let schemas = entries(&DOCUMENT["components"]["schemas"]);
    let illustrated: Vec<_> = schemas.filter(|(_, schema)| schema.get("example").is_some()).collect();
    assert!(illustrated.len() > 10);
    for (name, schema) in illustrated {
        check(schema, &schema["example"]).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    fn walk(value: &'static Value, used: &mut BTreeSet<&'static str>) {
        if let Some(to) = value["$ref"].as_str() {
            whole(value);
            used.insert(to);
        }
        entries(value).for_each(|(_, value)| walk(value, used));
        value.as_array().into_iter().flatten().for_each(|value| walk(value, used));
    }
    let mut used = BTreeSet::new();
    walk(&DOCUMENT, &mut used);
    for kind in ["schemas", "responses", "headers"] {
        for (name, _) in entries(&DOCUMENT["components"][kind]) {
            let unused = ["Error405", "Allow"].contains(&name.as_str());
            let to = format!("#/components/{kind}/{name}");
            assert!(used.contains(to.as_str()) || unused, "{to} is used nowhere");
        }
    }
}

#[tokio::test]
async fn the_page_with_the_documentation_needs_nothing_from_elsewhere() {
    let database = database().await;
    let server = Server::start(&database);
    let page = server.get("/docs").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    complete_in_itself(&page);
}

/// Nothing of a page comes from elsewhere, and the browser sees to it.
#[track_caller]
pub(crate) fn complete_in_itself(page: &Answer) {
    for outside in ["://", "src=", "<link rel=\"stylesheet", "@import", "url(", "innerHTML", "eval("] {
        assert!(!page.text.contains(outside), "{outside}");
    }
    let policy = page.header("content-security-policy");
    for rule in ["default-src 'none'", "script-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_page_about_http_lists_every_route() {
    let page = include_str!("../../../../docs/reference/http.md");
    for (path, method, _) in operations() {
        let route = format!("| `{} {path}", method.to_uppercase());
        let listed =
            page.lines().any(|line| line.strip_prefix(&route).is_some_and(|rest| rest.starts_with(['`', '?'])));
        assert!(listed, "{route}");
    }
}
