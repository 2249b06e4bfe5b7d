//! Does the test kit know every reason for a drop?

use postrider::ledger::Reason;
use testkit::postrider::REASONS;

#[test]
fn the_test_kit_has_the_reasons_of_the_ledger() {
    assert_eq!(REASONS.to_vec(), Reason::ALL.map(Reason::name).to_vec());
}
