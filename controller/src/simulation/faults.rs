//! What befalls the world. Each seed has a fate of its own: some kinds of faults, often or rarely.

use super::lots::Lots;
use super::network::Weather;
use super::world::{Death, World};

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Crash,
    PowerCut,
    Stop,
    HandOver,
    Isolate,
    OneWay,
    Weather,
    Pause,
    ClockJump,
    DatabaseAway,
    DiskFull,
    DiskSlow,
    HostReboot,
    GuestEnds,
    Replace,
    Refuse,
}

const ALL: [Fault; 16] = [
    Fault::Crash,
    Fault::PowerCut,
    Fault::Stop,
    Fault::HandOver,
    Fault::Isolate,
    Fault::OneWay,
    Fault::Weather,
    Fault::Pause,
    Fault::ClockJump,
    Fault::DatabaseAway,
    Fault::DiskFull,
    Fault::DiskSlow,
    Fault::HostReboot,
    Fault::GuestEnds,
    Fault::Replace,
    Fault::Refuse,
];

/// What ends by itself after a while.
enum Passing {
    Cut(u64, u64),
    Away(u64),
    Full(u64),
    Slow(u64),
    Refusing(u64),
    Weather,
}

/// See the module.
pub(super) struct Fate {
    kinds: Vec<Fault>,
    every_ms: u64,
    next_ms: u64,
    passing: Vec<(u64, Passing)>,
    replaced: bool,
}

impl Fate {
    pub(super) fn new(lots: &mut Lots) -> Fate {
        let kinds: Vec<Fault> = ALL.into_iter().filter(|_| lots.permille(600)).collect();
        let kinds = if kinds.is_empty() { ALL.to_vec() } else { kinds };
        let every_ms = *lots.pick(&[300, 700, 1_500, 3_000]).unwrap_or(&700);
        Fate { kinds, every_ms, next_ms: 0, passing: Vec::new(), replaced: false }
    }

    /// Whatever is due.
    pub(super) fn strike(&mut self, world: &mut World) {
        let now_ms = world.now_ms();
        let all = std::mem::take(&mut self.passing);
        let (over, passing): (Vec<_>, Vec<_>) = all.into_iter().partition(|(until, _)| *until <= now_ms);
        self.passing = passing;
        end(over, world);
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + world.lots.between(self.every_ms / 2, self.every_ms * 2);
        let Some(fault) = world.lots.pick(&self.kinds).copied() else { return };
        let running: Vec<u64> = world.controllers.keys().copied().collect();
        let Some(id) = world.lots.pick(&running).copied() else { return };
        let until_ms = now_ms + world.lots.between(200, 4_000);
        world.tell(&format!("{fault:?} of {id}, until {until_ms}"));
        self.befall(world, fault, id, until_ms, &running);
    }

    fn befall(&mut self, world: &mut World, fault: Fault, id: u64, until_ms: u64, running: &[u64]) {
        let now_ms = world.now_ms();
        let others = || running.iter().copied().filter(|other| *other != id);
        match fault {
            Fault::Crash => {
                world.ledger.count("crash");
                let death = if world.lots.permille(700) { Death::Process } else { Death::Machine };
                world.crash(id, until_ms - now_ms, death);
            }
            Fault::PowerCut => {
                world.ledger.count("power cut");
                for id in running {
                    let back_ms = world.lots.between(100, 1_500);
                    world.crash(*id, back_ms, Death::Machine);
                }
            }
            Fault::Stop => {
                if let Some(controller) = world.controllers.get_mut(&id).filter(|one| !one.is_stopping()) {
                    world.ledger.count("stop");
                    controller.begin_to_stop();
                }
            }
            Fault::HandOver => {
                for controller in world.controllers.values().filter(|one| one.node.is_leader()) {
                    world.ledger.count("hand-over");
                    controller.begin_to_hand_over();
                }
            }
            Fault::Isolate => {
                world.ledger.count("partition");
                for other in others() {
                    for (from, to) in [(id, other), (other, id)] {
                        world.network.cut(from, to, true);
                        self.passing.push((until_ms, Passing::Cut(from, to)));
                    }
                }
            }
            Fault::OneWay => {
                if let Some(other) = others().next() {
                    world.ledger.count("partition");
                    world.network.cut(id, other, true);
                    self.passing.push((until_ms, Passing::Cut(id, other)));
                }
            }
            Fault::Weather => {
                world.ledger.count("weather");
                let lots = &mut world.lots;
                let bad = lots.permille(250);
                let weather = Weather {
                    lost_permille: lots.below(if bad { 200 } else { 40 }),
                    doubled_permille: lots.below(100),
                    late_permille: lots.below(if bad { 400 } else { 100 }),
                    delay_ms: lots.between(5, if bad { 800 } else { 200 }),
                };
                self.passing.push((until_ms, Passing::Weather));
                world.network.set_weather(weather);
                world.ground.breaks.set(world.lots.permille(500));
            }
            Fault::Pause => {
                world.ledger.count("pause");
                if let Some(controller) = world.controllers.get_mut(&id) {
                    controller.asleep_since_ms = now_ms;
                    world.paused.insert(id, until_ms);
                }
            }
            Fault::ClockJump => {
                world.ledger.count("clock jump");
                let skew = i64::try_from(world.lots.below(200_000)).unwrap_or_default() - 100_000;
                world.ground.skew_ms.borrow_mut().insert(id, skew);
            }
            Fault::DatabaseAway => {
                world.ledger.count("database away");
                if let Some(memory) = world.memories.get(&id) {
                    memory.tables().is_away = true;
                    // Long enough for a snapshot to be due meanwhile.
                    self.passing.push((until_ms + 3_000, Passing::Away(id)));
                }
            }
            Fault::DiskFull => {
                world.excused.insert(id);
                world.disks.fill(id, true);
                self.passing.push((until_ms, Passing::Full(id)));
            }
            Fault::DiskSlow => {
                world.ledger.count("slow disk");
                world.ground.slow_ms.borrow_mut().insert(id, 200);
                self.passing.push((until_ms, Passing::Slow(id)));
            }
            Fault::HostReboot | Fault::GuestEnds => {
                let which = usize::try_from(id).unwrap_or_default() % world.hosts.len();
                match fault {
                    Fault::HostReboot => world.hosts[which].reboot(&world.ledger),
                    _ => world.hosts[which].end_guest(&world.ledger),
                }
            }
            Fault::Replace if !self.replaced && id != 4 => {
                self.replaced = true;
                world.ledger.count("controller replaced");
                world.join(4);
                world.leave(id);
            }
            Fault::Replace => {}
            Fault::Refuse => {
                // It lives, and its machine tells everybody that it does not.
                world.ledger.count("refused in error");
                world.network.refuse(id, true);
                world.network.hang_up(id);
                self.passing.push((until_ms, Passing::Refusing(id)));
            }
        }
    }

    /// Nothing more befalls anybody, and who is down comes back.
    pub(super) fn relent(&mut self, world: &mut World) {
        let all = std::mem::take(&mut self.passing);
        end(all, world);
        world.network.heal();
        world.ground.breaks.set(false);
        world.ground.skew_ms.borrow_mut().clear();
        let now_ms = world.now_ms();
        for at in world.down.values_mut().chain(world.paused.values_mut()) {
            *at = (*at).min(now_ms);
        }
    }
}

fn end(over: Vec<(u64, Passing)>, world: &World) {
    for (_, passing) in over {
        match passing {
            Passing::Cut(from, to) => world.network.cut(from, to, false),
            Passing::Away(id) => {
                if let Some(memory) = world.memories.get(&id) {
                    memory.tables().is_away = false;
                }
            }
            Passing::Full(id) => world.disks.fill(id, false),
            Passing::Weather => world.network.set_weather(Weather::default()),
            Passing::Refusing(id) if world.controllers.contains_key(&id) => world.network.refuse(id, false),
            Passing::Refusing(_) => {}
            Passing::Slow(id) => _ = world.ground.slow_ms.borrow_mut().remove(&id),
        }
    }
}
