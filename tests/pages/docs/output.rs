//! docs/output.md: the configuration is right, and the table of placeholders has all of them.

use std::collections::BTreeSet;

use postrider::template::Field;

use crate::docs::page;

#[test]
fn the_block_is_valid_and_every_placeholder_is_explained() {
    let text = page::text("output.md");
    for (kind, block) in page::blocks(&text) {
        assert_eq!(kind, "toml");
        postrider::config::parse(&block, "output.md").unwrap_or_else(|errors| panic!("{errors}"));
    }
    let rows = text.lines().filter(|line| line.starts_with("| `{"));
    let explained: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split(", ").map(|name| name.trim().trim_matches(['`', '{', '}'])))
        .collect();
    assert_eq!(explained, Field::ALL.iter().map(|field| field.name()).collect());
}
