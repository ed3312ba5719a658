use super::*;

fn labels(text: &str) -> StringMap {
    let pairs = text.split(';').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn every_operator_selects_what_the_contract_says() {
    // Selector, labels it selects, labels it does not.
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "tier=gold",
            &["tier=gold", "a=b;tier=gold"],
            &["", "tier=Gold", "tier=golden", "Tier=gold", "x=gold"],
        ),
        ("tier==gold", &["tier=gold"], &["tier=silver", "tier==gold"]),
        ("tier!=gold", &["tier=silver", "", "x=gold"], &["tier=gold"]),
        ("empty=", &["empty="], &["", "empty=x"]),
        ("ns:key=value", &["ns:key=value"], &["key=value", "ns=key=value"]),
        ("k=a=b", &["k=a=b"], &["k=a"]),
        ("tier", &["tier=", "tier=gold"], &["", "tiers=gold"]),
        ("!tier", &["", "x=y"], &["tier="]),
        ("t*", &["tier=", "t=1"], &["xt=1"]),
        ("!t*", &["", "x=y"], &["tier="]),
        ("*k*=*v*", &["k=v", "akb=cvd", "x=y;akb=v"], &["", "k=x", "x=v", "x=v;k=x"]),
        ("a=*", &["a=", "a=anything at all"], &["b="]),
        ("a=x*y*z", &["a=xyz", "a=x1y2z", "a=xyyzz", "a=xzyz"], &["a=xzy", "a=xyz1", "a=xy", "a=1xyz"]),
        ("a=x*x", &["a=xx", "a=xax"], &["a=x"]),
        ("a**b=c**", &["ab=c", "axb=cx"], &["a=c"]),
        ("*a*!=*v*", &["", "b=v", "a=x"], &["a=v", "xay=uvw"]),
        (
            "n>5",
            &["n=6", "n=5.1", "n=1000000000000000000000000000000000000000000000"],
            &["n=5", "n=-6", "n=x", ""],
        ),
        ("n>=5", &["n=5", "n=5.0", "n=005"], &["n=4.999"]),
        ("n<5", &["n=4", "n=-10", "n=0"], &["n=5", "n=", "n=1e0", "n=NaN", "n= 1"]),
        ("n<=-1.50", &["n=-1.5", "n=-2"], &["n=-1.4", "n=1.5"]),
        ("n>-0", &["n=0.1"], &["n=0", "n=-0", "n=-0.0"]),
        ("*n>5", &["an=1;bn=6"], &["an=1;x=6"]),
        (" tier = gold , n > 3 ", &["tier=gold;n=4"], &["tier=gold;n=3", "n=4", "tier=gold"]),
        ("a=1,a=2", &[], &["a=1", "a=2"]),
        ("größe=groß*", &["größe=größer;größe=großartig"], &["größe=klein"]),
    ];
    for (text, selected, others) in table {
        let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for one in *selected {
            assert!(selector.matches(&labels(one)), "{text} selects {one:?}");
        }
        for one in *others {
            assert!(!selector.matches(&labels(one)), "{text} does not select {one:?}");
        }
    }
}

#[test]
fn what_is_no_selector_is_refused_with_the_place() {
    for (text, at, words) in [
        ("", 1, "missing"),
        ("a=1,", 5, "missing"),
        (",a=1", 1, "missing"),
        ("a=1,,b=2", 5, "missing"),
        ("=gold", 1, "key"),
        ("a=1, =gold", 6, "key"),
        ("!", 2, "key"),
        ("!a=1", 3, "key!=value"),
        ("a!b", 2, "before ="),
        ("a>", 3, "number"),
        ("ß>x", 3, "number"),
        ("a>=1e3", 4, "number"),
        ("a<=> 3", 4, "number"),
        ("a in (b", 1, "notin"),
        ("x=1,a notin (b)", 5, "notin"),
        ("a b=c", 1, "whitespace"),
    ] {
        let error = Selector::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.why.contains(words), "{text}: {error}");
    }
    let many = vec!["a"; MAX_TERMS].join(",");
    assert!(Selector::parse(&many).is_ok());
    assert!(Selector::parse(&format!("{many},a")).expect_err("one more").why.contains("terms"));
    assert!(Selector::parse(&"a".repeat(MAX_CHARACTERS)).is_ok());
    assert!(Selector::parse(&"ß".repeat(MAX_CHARACTERS + 1)).expect_err("longer").why.contains("characters"));
}

/// The patterns that make other engines walk every way to place the stars.
#[test]
fn no_pattern_explodes() {
    let selector = Selector::parse(&format!("*={}b", "*a".repeat(900))).unwrap();
    let labels: StringMap = (0..100).map(|number| (format!("k{number}"), "a".repeat(1000))).collect();
    let start = std::time::Instant::now();
    for _ in 0..100 {
        assert!(!selector.matches(&labels));
    }
    // 10,000 labels of 1,000 characters; one backtracking search would not end today.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}
