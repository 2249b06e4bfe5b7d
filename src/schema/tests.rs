use std::collections::BTreeSet;

use super::*;

/// The paths of all fields, as `postfix.relay.ip`, that hold no others.
fn leaves(fields: &[SchemaField<'_>], parent: &str, found: &mut BTreeSet<String>) {
    for SchemaField { name, kind, .. } in fields {
        let path = format!("{parent}{name}");
        match kind {
            ValueType::Object(fields) => leaves(fields, &format!("{path}."), found),
            ValueType::List(kind) => {
                let ValueType::Object(fields) = &**kind else {
                    found.insert(path);
                    continue;
                };
                leaves(fields, &format!("{path}."), found);
            }
            _ => _ = found.insert(path),
        }
    }
}

fn all() -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut all = BTreeSet::new();
    leaves(&fields(&schema, &schema), "", &mut all);
    assert!(
        all.len() > 150 && all.contains("postfix.commands.rcpt.ok") && all.contains("structured_data.value"),
        "{all:?}"
    );
    all
}

#[test]
fn no_part_of_the_schema_is_of_a_kind_that_is_not_known_here() {
    fn check(property: &Value) {
        let words: Vec<&str> = property.as_object().unwrap().keys().map(String::as_str).collect();
        let says = ["$ref", "type", "enum", "const"].iter().filter(|word| words.contains(word)).count();
        assert_eq!(says, 1, "{property}");
        assert!(
            !words.iter().any(|word| ["anyOf", "oneOf", "allOf", "additionalProperties"].contains(word)),
            "{property}"
        );
        assert!(property["type"] != "object" || property["properties"].is_object(), "{property}");
        let values = property["properties"].as_object().into_iter().flatten().map(|(_, property)| property);
        values.chain(property.get("items")).for_each(check);
    }
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    schema["properties"].as_object().unwrap().values().for_each(check);
    schema["$defs"].as_object().unwrap().values().for_each(check);
}

/// The paths of names in quotes, each of which has its type behind it: `name` TYPE, or `name` TYPE(, and ) at the end.
fn of_ddl(table: &str, quote: char) -> BTreeSet<String> {
    let (mut parents, mut found) = (Vec::new(), BTreeSet::new());
    for line in table.lines() {
        if let Some((name, kind)) = line.trim_start().strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            parents.push(name);
            if !kind.ends_with('(') {
                found.insert(parents.join("."));
                parents.pop();
            }
        } else if line.trim_start().starts_with(')') && line.starts_with(' ') {
            parents.pop();
        }
    }
    assert!(parents.is_empty(), "{parents:?}");
    found
}

#[test]
fn every_field_is_in_the_table_of_clickhouse() {
    let table = Dialect::ClickHouse.text();
    assert_eq!(of_ddl(&table, '`'), all());
    for part in [
        "\n    `id` String,\n    `timestamp` DateTime64(6, 'UTC'),\n",
        "\n    `severity` LowCardinality(Nullable(String)),\n",
        "\n    `flags` Array(LowCardinality(String)),\n",
        "\n    `structured_data` Array(Tuple(\n        `id` Nullable(String),\n",
        "\n        `delay` Nullable(Float64),\n",
        "\n        `recipients` Array(Tuple(\n            `to` Nullable(String),\n",
        "\n            `cause` LowCardinality(Nullable(String)),\n",
        "\n        `queue_ids` Array(String),\n",
        "\n)\nENGINE = ReplacingMergeTree(`received_at`)\nORDER BY `id`;\n",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
}

#[test]
fn every_field_is_in_the_table_of_duckdb_and_in_what_it_reads() {
    let text = Dialect::DuckDb.text();
    let (table, load) = text.split_once("\nINSERT ").unwrap();
    assert_eq!(of_ddl(table, '"'), all());
    // The outermost names are between other quotes.
    let load: String = load
        .lines()
        .map(|line| {
            line.strip_prefix("    '")
                .map_or_else(|| format!("{line}\n"), |line| format!("    \"{}\n", line.replacen('\'', "\"", 1)))
        })
        .collect();
    assert_eq!(of_ddl(&load, '"'), all());
    assert!(table.contains("    \"id\" VARCHAR PRIMARY KEY,\n    \"timestamp\" TIMESTAMP NOT NULL,\n"), "{table}");
}

#[test]
fn every_field_is_in_the_template_of_elasticsearch() {
    fn names(properties: &Value, parent: &str, found: &mut BTreeSet<String>) {
        for (name, mapping) in properties.as_object().unwrap() {
            let path = format!("{parent}{name}");
            if mapping["properties"].is_object() {
                names(&mapping["properties"], &format!("{path}."), found);
            } else {
                assert!(mapping["type"].is_string(), "{path}: {mapping}");
                found.insert(path);
            }
        }
    }
    let template: Value = serde_json::from_str(&Dialect::Elasticsearch.text()).unwrap();
    let mappings = &template["template"]["mappings"];
    let mut found = BTreeSet::new();
    names(&mappings["properties"], "", &mut found);
    assert!(found.remove("@timestamp"));
    assert_eq!(found, all());
    assert_eq!((&template["index_patterns"][0], &mappings["dynamic"]), (&"postrider-*".into(), &false.into()));
    let text = template.to_string();
    let size: usize = ["\"type\":", "\"properties\":"].iter().map(|part| text.matches(part).count()).sum();
    assert!(size < 1000, "{size} fields and objects; an index takes 1000 by default");
    let kind = |pointer: &str| mappings["properties"].pointer(pointer).unwrap()["type"].as_str().unwrap();
    for (pointer, expected) in [
        ("/timestamp", "date_nanos"),
        ("/message", "match_only_text"),
        ("/structured_data", "nested"),
        ("/postfix/properties/recipients", "nested"),
        ("/postfix/properties/recipients/properties/relay/properties/ip", "ip"),
        ("/postfix/properties/queue_ids", "keyword"),
        ("/flags", "keyword"),
        ("/postfix/properties/client/properties/ip", "ip"),
        ("/postfix/properties/delay", "double"),
        ("/postfix/properties/size", "long"),
        ("/postfix/properties/resent", "boolean"),
    ] {
        assert_eq!(kind(pointer), expected, "{pointer}");
    }
}

#[test]
fn every_field_is_in_the_schema_of_bigquery() {
    fn names(columns: &Value, parent: &str, found: &mut BTreeSet<String>) {
        for column in columns.as_array().unwrap() {
            let path = format!("{parent}{}", column["name"].as_str().unwrap());
            let kind = column["type"].as_str().unwrap();
            assert_eq!(kind == "RECORD", column["fields"].is_array(), "{column}");
            assert!(["NULLABLE", "REQUIRED", "REPEATED"].contains(&column["mode"].as_str().unwrap()), "{column}");
            // As BigQuery has it.
            assert!(column["description"].as_str().unwrap_or_default().len() <= 1024, "{column}");
            match kind {
                "RECORD" => names(&column["fields"], &format!("{path}."), found),
                "STRING" | "TIMESTAMP" | "INTEGER" | "FLOAT" | "BOOLEAN" => _ = found.insert(path),
                _ => panic!("{column}"),
            }
        }
    }
    let columns: Value = serde_json::from_str(&Dialect::BigQuery.text()).unwrap();
    let mut found = BTreeSet::new();
    names(&columns, "", &mut found);
    assert_eq!(found, all());
    let mode = |name: &str| &columns.as_array().unwrap().iter().find(|column| column["name"] == name).unwrap()["mode"];
    assert_eq!([mode("id"), mode("hostname"), mode("flags")], ["REQUIRED", "NULLABLE", "REPEATED"]);
    let postfix = columns.as_array().unwrap().iter().find(|column| column["name"] == "postfix").unwrap();
    let recipients =
        postfix["fields"].as_array().unwrap().iter().find(|column| column["name"] == "recipients").unwrap();
    assert_eq!((&recipients["type"], &recipients["mode"]), (&"RECORD".into(), &"REPEATED".into()));
}
