use super::*;

#[test]
fn a_text_is_set_once_and_others_are_collected() {
    let mut fields = Fields::default();
    fields.set(KeptField::From, Some(""));
    fields.set(KeptField::From, Some("anna@example.com"));
    fields.set(KeptField::Helo, None);
    for id in ["A1", "B2", "A1"] {
        fields.add(KeptField::Child, id);
    }
    assert_eq!((fields.get(KeptField::From), fields.get(KeptField::Helo)), (Some(""), None));
    assert_eq!(fields.as_ref().all(KeptField::Child).collect::<Vec<_>>(), ["A1", "B2"]);
    assert_eq!(FieldsRef::of(fields.bytes()).get(KeptField::From), Some(""));
}

#[test]
fn a_text_is_replaced_between_others() {
    let mut fields = Fields::default();
    fields.set(KeptField::QueueId, Some("A1"));
    fields.set(KeptField::From, Some("anna"));
    fields.set(KeptField::Helo, Some("mx1"));
    fields.replace(KeptField::From, b"anna@example.com");
    let all = [KeptField::QueueId, KeptField::From, KeptField::Helo].map(|field| fields.get(field));
    assert_eq!(all, [Some("A1"), Some("anna@example.com"), Some("mx1")]);
    assert_eq!(fields.as_ref().all(KeptField::From).count(), 1);
}

#[test]
fn entries_are_divided_and_the_first_of_a_name_is_removed() {
    let mut fields = Fields::default();
    for (field, text) in
        [(KeptField::From, "a"), (KeptField::Print, "1"), (KeptField::To, "b"), (KeptField::Print, "2")]
    {
        fields.push(field, text.as_bytes());
    }
    let mut taken = fields.split_off(&KeptField::OF_RECIPIENT);
    assert_eq!((fields.get(KeptField::From), fields.bytes().len()), (Some("a"), 3));
    taken.remove_first(KeptField::Print);
    assert_eq!(taken.as_ref().all(KeptField::Print).collect::<Vec<_>>(), ["2"]);
    taken.remove_all(&[KeptField::To, KeptField::OrigTo]);
    taken.push(KeptField::Delay, b"1.2");
    assert_eq!((taken.get(KeptField::To), taken.get(KeptField::Delay)), (None, Some("1.2")));
}

#[test]
fn a_time_is_only_raised() {
    let mut fields = Fields::default();
    for time in [-5, 7, 3] {
        fields.raise_time(KeptField::HeldAt, time);
    }
    assert_eq!(fields.as_ref().time(KeptField::HeldAt), Some(7));
}

#[test]
fn values_of_all_lengths_are_found_again() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let (mut fields, text) = (Fields::default(), "x".repeat(length));
        fields.set(KeptField::QueueId, Some("A1"));
        fields.set(KeptField::Helo, Some(&text));
        fields.set(KeptField::Proto, Some("ESMTP"));
        assert!(fields.get(KeptField::Helo) == Some(&*text), "{length}");
        fields.remove(KeptField::Helo);
        let all = [KeptField::QueueId, KeptField::Helo, KeptField::Proto].map(|field| fields.get(field));
        assert_eq!(all, [Some("A1"), None, Some("ESMTP")], "{length}");
    }
}

#[test]
fn numbers_of_all_sizes_are_found_again() {
    for number in [0, 1, 255, 256, 65_535, u64::from(u32::MAX) + 1, u64::MAX >> 8, u64::MAX] {
        let mut fields = Fields::default();
        fields.set_number(KeptField::Size, Some(number));
        fields.set_number(KeptField::Size, Some(7));
        assert_eq!(fields.as_ref().number(KeptField::Size), Some(number));
        fields.replace_number(KeptField::Size, 7);
        assert_eq!((fields.as_ref().number(KeptField::Size), fields.bytes().len()), (Some(7), 3));
    }
}

#[test]
fn bytes_that_are_damaged_end_the_fields() {
    let tag = KeptField::Helo.tag();
    for bytes in [&[tag][..], &[tag, 1], &[tag, 0x80], &[tag, 0xff, 0xff], &[tag, 0xff, 0xff, 0xff, 0xff, 1]] {
        assert_eq!(FieldsRef::of(bytes).get(KeptField::Helo), None, "{bytes:?}");
    }
}
