use super::*;

#[test]
fn a_panic_is_told_with_message_place_and_the_drivers_own_frames() {
    install_hook();
    for (code, message) in [
        ((|| panic!("a plain one")) as fn(), "a plain one"),
        (|| panic!("number {}", std::hint::black_box(7)), "number 7"),
        (|| std::panic::panic_any(5u8), "a panic without a message"),
        (|| std::hint::black_box(None::<()>).unwrap(), "called `Option::unwrap()` on a `None` value"),
    ] {
        let failure = guard(code).unwrap_err();
        assert_eq!(failure.code, "panic");
        assert_eq!(failure.message, message);
        assert!(failure.place.unwrap().contains("panics/tests.rs:"));
        assert!(failure.backtrace.iter().all(|line| !line.starts_with("core::")), "{:?}", failure.backtrace);
    }
    assert!(guard(|| 5).is_ok_and(|five| five == 5));
}

#[test]
fn a_backtrace_keeps_what_lies_between_the_panic_and_the_sdk() {
    let text = "   0: std::backtrace::Backtrace::create
             at /rustc/x/library/std/src/backtrace.rs:331:13
   1: drivers_sdk::panics::see
   2: __rustc::rust_begin_unwind
             at /rustc/x/library/std/src/panicking.rs:689:5
   3: core::panicking::panic_fmt
   4: pjlink::Projector::power::{{closure}}
             at ./src/main.rs:12:9
   5: <pjlink::Projector as drivers_sdk::Driver>::call::{{closure}}
             at ./src/main.rs:8:1
   6: drivers_sdk::panics::guarded::{{closure}}
   7: tokio::runtime::task::core::Core<T,S>::poll
   8: main";
    assert_eq!(
        trim(text),
        [
            "pjlink::Projector::power::{{closure}} at ./src/main.rs:12:9",
            "<pjlink::Projector as drivers_sdk::Driver>::call::{{closure}} at ./src/main.rs:8:1",
        ]
    );
}
