//! Bugs that a simulation plants, to know that it finds them. In a program there are none: without the feature `planted`
//! every question is answered with a constant.

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread has the bug of this name.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<&'static str>) {
    PLANTED.set(bug);
}

/// Whether this thread has the bug of this name.
#[cfg(feature = "planted")]
pub fn planted(bug: &str) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this thread has the bug of this name: never.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn planted(_: &str) -> bool {
    false
}
