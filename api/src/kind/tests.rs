use super::*;

#[test]
fn rows_stand_in_the_order_of_the_enum() {
    for (position, row) in Kind::table().iter().enumerate() {
        assert_eq!(row.kind as usize, position, "{}", row.name);
        let serialized = serde_json::to_value(row.kind).unwrap();
        assert_eq!(serialized, row.name, "metadata.kind and the stored kind are one spelling");
    }
}

#[test]
fn all_eighteen_seca_kinds_have_a_row_and_collections_are_unique_per_provider() {
    let seca = Kind::table().iter().filter(|row| row.provider.name().starts_with("seca.")).count();
    assert_eq!(seca, 18);
    for row in Kind::table() {
        assert_eq!(Kind::of_provider(row.provider, row.collection), Some(row.kind));
        assert_eq!(Kind::of_collection(row.provider, row.collection, row.scope), Some(row.kind));
    }
}

#[test]
fn what_operators_keep_for_another_provider_takes_no_collection_of_that_name() {
    let mut kept = Vec::new();
    for row in Kind::table() {
        let Some(under) = row.kept_under else { continue };
        assert!(row.verbs == Verbs::ReadOnly && row.scope == Scope::Global, "{}", row.name);
        assert_eq!(Kind::of_provider(under, row.collection), None, "{}", row.name);
        assert_eq!(Kind::kept_under(under, row.collection), Some(row.kind));
        kept.push(row.kind);
    }
    assert_eq!(kept, [Kind::Region]);
    assert_eq!(Kind::kept_under(Provider::Region, "regions"), None);
    assert_eq!(Kind::kept_under(Provider::Catalogue, "address-pools"), None);
}
