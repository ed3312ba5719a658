//! How CPU grows with what is there already: of a create with the guests of a host and with the hosts, of a page with the objects.
//! Sizes are a decade apart; the slope is that of the straight line through their logarithms.

use super::create::measured;
use super::number;
use super::plane::Plane;
use super::table::{Figure, Round, Table, slope};
use super::wire::Wire;
use super::work::{self, CREATE, DELETE, DELETE_VOLUMES, PUT_VOLUMES};

/// Creates that are measured at each size.
const SAMPLE: usize = 200;
/// Pages that are measured at each size.
const PAGES: usize = 1000;

/// 10, 100, ... up to `most`.
fn decades(most: usize) -> Vec<usize> {
    std::iter::successors(Some(10), |size| Some(size * 10)).take_while(|size| *size <= most).collect()
}

/// `BENCH_VMS` (1000) on each of ten hosts is the largest size.
pub(crate) async fn vms(replicas: usize, table: &mut Table) {
    let mut plane = Plane::open(replicas).await;
    plane.grow_to(10).await;
    let mut there = 0;
    let mut points = Vec::new();
    for size in decades(number("BENCH_VMS", 1000)) {
        fill(&plane, &mut there, size * 10).await;
        let round = sample(&plane, &size.to_string()).await;
        let what = format!("{}, {size} instances on each", plane.size());
        points.push((size, table.add("growth-vms: CPU of a create", &what, &[round])));
    }
    slopes("growth-vms: slope", &points, table);
    plane.close();
}

/// Ten instances on each host.
pub(crate) async fn hosts(replicas: usize, most: usize, table: &mut Table) {
    let mut plane = Plane::open(replicas).await;
    let mut there = 0;
    let mut points = Vec::new();
    for size in decades(most) {
        plane.grow_to(size).await;
        fill(&plane, &mut there, size * 10).await;
        let round = sample(&plane, &size.to_string()).await;
        points.push((size, table.add("growth-hosts: CPU of a create", &plane.size(), &[round])));
    }
    slopes("growth-hosts: slope", &points, table);
    plane.close();
}

/// `BENCH_PAGE_OBJECTS` (100000) volumes in one workspace are the largest size; none of them is on a host.
pub(crate) async fn page(rounds: usize, table: &mut Table) {
    let plane = Plane::open(1).await;
    let mut there = 0;
    let mut points = Vec::new();
    for size in decades(number("BENCH_PAGE_OBJECTS", 100_000)).into_iter().filter(|size| *size >= 100) {
        work::all(&plane, PUT_VOLUMES, &format!("g{size}"), size - there, 32).await;
        there = size;
        let idle = plane.idle().await;
        let mut of_rounds = Vec::new();
        for _ in 0..rounds {
            let clock = plane.clock();
            let mut wire = Wire::open(plane.requests.address(0)).await;
            for _ in 0..PAGES {
                wire.ask(&plane.requests.list_volumes()).await.expect(&[200], "a page");
            }
            let taken = clock.stop();
            let figures = vec![("CPU us: controllers", idle.each_us(&taken, PAGES)[0])];
            of_rounds.push(Round { figures, others_percent: taken.others_percent });
        }
        let what = format!("1 replica, {size} volumes");
        points.push((size, table.add("growth-page: CPU of a page of 100", &what, &of_rounds)));
    }
    slopes("growth-page: slope", &points, table);
    plane.close();
}

/// Creates instances until there are so many.
async fn fill(plane: &Plane, there: &mut usize, size: usize) {
    let prefix = format!("f{size}");
    work::all(plane, PUT_VOLUMES, &prefix, size - *there, 32).await;
    work::all(plane, CREATE, &prefix, size - *there, 32).await;
    *there = size;
}

/// What a create takes now; what was created is deleted again.
async fn sample(plane: &Plane, size: &str) -> Round {
    let prefix = format!("m{size}");
    work::all(plane, PUT_VOLUMES, &prefix, SAMPLE, 8).await;
    let idle = plane.idle().await;
    let (_, taken) = measured(plane, CREATE, &prefix, SAMPLE, 8).await;
    let [controllers, postgres, agents] = idle.each_us(&taken, SAMPLE);
    work::all(plane, DELETE, &prefix, SAMPLE, 8).await;
    work::all(plane, DELETE_VOLUMES, &prefix, SAMPLE, 8).await;
    let figures = vec![
        ("CPU us: all", controllers + postgres + agents),
        ("controllers", controllers),
        ("Postgres", postgres),
        ("agents", agents),
    ];
    Round { figures, others_percent: taken.others_percent }
}

/// The slope of each figure over the sizes.
fn slopes(what: &str, points: &[(usize, Vec<Figure>)], table: &mut Table) {
    if points.len() < 2 {
        return;
    }
    let column = |at: usize| -> Vec<(f64, f64)> {
        points.iter().map(|(size, figures)| (*size as f64, figures[at].1)).collect()
    };
    let names = points[0].1.iter().map(|(name, _)| *name);
    let figures = names.enumerate().map(|(at, name)| (name, slope(&column(at)))).collect();
    let sizes: Vec<String> = points.iter().map(|(size, _)| size.to_string()).collect();
    table.add(what, &sizes.join(", "), &[Round { figures, others_percent: 0.0 }]);
}
