//! A run as a page: a lane for each node, messages as arrows.

use std::io::{self, Write};

use serde_json::Value;

use super::Trace;

const PAGE: &str = include_str!("page.html");

pub(super) fn write(trace: &Trace, title: &str, to: &mut impl Write) -> io::Result<()> {
    let records: Vec<Value> = trace.records.iter().map(super::Record::json).collect();
    // So that no text in it ends the script.
    let data = serde_json::to_string(&records)?.replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let page = PAGE.replace("{{title}}", &title);
    let (head, tail) = page.split_once("{{records}}").unwrap_or((&page, ""));
    to.write_all(head.as_bytes())?;
    to.write_all(data.as_bytes())?;
    to.write_all(tail.as_bytes())
}
