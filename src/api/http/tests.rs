use axum::http::{Uri, header};

use super::{body::Arguments, outer::mended, page::Page, query::Query, search::Search};

fn query(text: &str) -> Query {
    Query::of(&format!("/api/engine/v2/systems?{text}").parse::<Uri>().unwrap())
}

#[test]
fn only_true_is_true() {
    let q = query("a=true&b=TRUE%20&c=1&d=yes&e=");
    assert!(q.flag("a") && q.flag("b"));
    assert!(!q.flag("c") && !q.flag("d") && !q.flag("e") && !q.flag("f"));
    assert_eq!(q.tristate("c"), Some(false));
    assert_eq!(q.tristate("f"), None);
}

#[test]
fn lists_are_trimmed_without_blanks_and_repetitions() {
    assert_eq!(query("x=a,%20b,,a,b").list("x").unwrap(), ["a", "b"]);
    assert_eq!(query("x=,%20,").list("x"), None);
    assert_eq!(query("").list("x"), None);
}

#[test]
fn numbers_are_clamped_and_nonsense_is_refused_by_name() {
    let page = Page::of(&query("limit=99999&offset=-5")).unwrap();
    assert_eq!(page, Page { limit: 10_000, offset: 0 });
    assert_eq!(Page::of(&query("")).unwrap(), Page { limit: 100, offset: 0 });
    let error = Page::of(&query("limit=ten")).unwrap_err();
    assert_eq!(error.to_string(), "invalid parameter value for 'limit'");
}

#[test]
fn a_page_says_how_many_there_are_and_where_the_next_one_is() {
    let q = query("q=a,b;c&limit=2&offset=1&api-key=secret");
    let page = Page::of(&q).unwrap();
    let (items, total) = page.cut(vec!["a", "b", "c", "d"]);
    assert_eq!((items.as_slice(), total), (["b", "c"].as_slice(), 4));
    let response = page.respond(&q, "sys", &items, total);
    let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("x-total-count"), "4");
    assert_eq!(header("content-range"), "sys 1-3/4");
    let link = header("link");
    assert_eq!(link, "</api/engine/v2/systems?q=a%2Cb%3Bc&limit=2&offset=3>; rel=\"next\"");
    // As clients read it: split on commas, then on semicolons, into exactly two parts.
    assert_eq!(link.split(',').count(), 1);
    assert_eq!(link.split(';').count(), 2);
}

#[test]
fn the_last_page_has_no_next() {
    let q = query("limit=2&offset=2");
    let page = Page::of(&q).unwrap();
    let response = page.respond(&q, "sys", &["c"], 3);
    assert!(response.headers().get(header::LINK).is_none());
    let nothing = query("limit=0");
    let response = Page::of(&nothing).unwrap().respond::<&str>(&nothing, "sys", &[], 3);
    assert!(response.headers().get(header::LINK).is_none(), "an empty page would lead nowhere");
}

#[test]
fn words_are_ored_whole_but_the_last_may_be_a_beginning() {
    let fields = ["Boardroom North", "floor-3", "Ada@Example.com"];
    let matches = |q: &str| Search::parse(Some(q)).matches(fields);
    assert!(matches("") && matches("*") && matches("  "));
    assert!(matches("north") && matches("nor") && matches("zzz board"));
    assert!(!matches("nor zzz"), "only the last word may be a beginning");
    assert!(matches("boardroom zzz"));
    assert!(matches("ada@example.com") && matches("name:north") && matches("not and or north"));
    assert!(matches("3") && !matches("oardroom"));
}

#[test]
fn odd_urls_are_mended() {
    assert_eq!(mended("/api/engine/v2/systems/").as_deref(), Some("/api/engine/v2/systems"));
    assert_eq!(mended("/api/engine/v2cluster/versions").as_deref(), Some("/api/engine/v2/cluster/versions"));
    assert_eq!(mended("/api/engine/v2").as_deref(), None);
    assert_eq!(mended("/api/engine/v2/").as_deref(), Some("/api/engine/v2"));
    assert_eq!(mended("/api/engine/v2/systems").as_deref(), None);
    assert_eq!(mended("/").as_deref(), None);
    assert_eq!(mended("///").as_deref(), Some("/"));
}

#[test]
fn arguments_are_an_array_an_object_or_nothing() {
    let text = |body: &str| Arguments::parse(body.as_bytes()).map(|args| args.0.get().to_owned());
    assert_eq!(text("").unwrap(), "[]");
    assert_eq!(text("null").unwrap(), "[]");
    assert_eq!(text(" [1, 2.50] ").unwrap(), "[1, 2.50]", "values pass as they are");
    assert_eq!(text("{\"on\":true}").unwrap(), "{\"on\":true}");
    assert!(text("1").is_err() && text("\"x\"").is_err() && text("[1").is_err() && text("[] []").is_err());
}
