use super::*;

#[test]
fn verdicts_are_read_whatever_is_around_them_and_shown_in_order() {
    let said = "running 3 tests\n\
                test a ... check: stops promptly: ok\n\
                ok\n\
                check: recovers from garbage: failed: status `power`: expected true, seen false\n\
                check: keeps secrets: not applicable: its settings have no secret\n\
                check: something else\n\
                test b ... FAILED\n";
    let report = Report { package: "lamp".into(), rules: read(said) };
    assert!(!report.is_good());
    let expected = "lamp
  keeps secrets          -  its settings have no secret
  recovers from garbage  FAILED: status `power`: expected true, seen false
  stops promptly         ok
  1 ok, 1 failed, 1 not applicable";
    assert_eq!(report.to_string(), expected);
    assert!(Report { package: "lamp".into(), rules: read("check: stops promptly: ok") }.is_good());
}
