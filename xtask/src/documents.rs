//! Compiles and runs the programs in the project's documents.

#![forbid(unsafe_code)]

/// A document whose programs are doctests.
macro_rules! document {
    ($name:ident, $path:literal) => {
        #[cfg(doctest)]
        #[doc = include_str!($path)]
        mod $name {}
    };
}

document!(readme, "../../README.md");
document!(operations, "../../docs/operations.md");
