//! What the derive refuses, with which words, and what it must take.

use std::process::Command;

/// The words are those of one compiler; others may put them differently.
const KNOWN_COMPILER: &str = "rustc 1.95.";

fn words_are_known() -> bool {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().expect("there is a compiler");
    output.stdout.starts_with(KNOWN_COMPILER.as_bytes())
}

#[test]
fn what_cannot_be_a_tree_is_refused_by_the_compiler_with_a_reason() {
    if words_are_known() {
        // These alone are checked and not built, as editors do.
        trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
    }
}

#[test]
fn what_can_be_a_tree_compiles_and_runs_and_generic_conflicts_fail_where_they_are_used() {
    let cases = trybuild::TestCases::new();
    if words_are_known() {
        cases.compile_fail("tests/ui/fail_when_used/*.rs");
    }
    cases.pass("tests/ui/pass/*.rs");
}
