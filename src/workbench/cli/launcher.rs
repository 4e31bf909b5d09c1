//! What a launcher says of this process: torchrun or srun, each of which starts `cocaptain train` many times.
//!
//! torchrun starts one process for each rank. srun starts as many as it is told: one for each rank, or one for each
//! machine, which then starts the ranks of its machine itself.

use run::settings::Settings;

use crate::supervise::seat::{PORT, Seat};

/// Where a launcher has put this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The launcher's name.
    pub by: &'static str,
    /// Machines.
    pub nodes: u64,
    /// Ranks of one machine; none where the settings say it.
    pub per_node: Option<u64>,
    /// This machine.
    pub node: u64,
    /// This process's one rank, its number on its machine, and how many ranks there are; none where it has all of its
    /// machine.
    pub rank: Option<(u32, u32, u32)>,
    /// Address and port of the machine with rank 0.
    pub master: (String, u64),
    /// A store that the launcher serves there: how our keys begin.
    pub served: Option<String>,
    /// How often the launcher has started all again.
    pub restarts: u64,
}

/// Looks for a launcher in the environment.
///
/// # Errors
/// A variable that makes no sense, by its name.
pub fn detect(env: impl Fn(&str) -> Option<String>) -> Result<Option<Launched>, String> {
    let number = |name: &str| -> Result<Option<u64>, String> {
        env(name)
            .map(|v| v.trim().parse().map_err(|_| format!("{name}={v}: it takes a whole number")))
            .transpose()
    };
    let needed = |name: &str| number(name)?.ok_or_else(|| format!("{name} is not set, as a launcher would"));
    if env("RANK").is_some() && env("WORLD_SIZE").is_some() && env("MASTER_ADDR").is_some() {
        let (rank, world) = (needed("RANK")?, needed("WORLD_SIZE")?);
        let local = needed("LOCAL_RANK")?;
        let per_node = number("LOCAL_WORLD_SIZE")?.unwrap_or(world);
        if rank >= world || per_node == 0 || local >= per_node || !world.is_multiple_of(per_node) {
            return Err(format!(
                "RANK={rank}, WORLD_SIZE={world}, LOCAL_RANK={local}, LOCAL_WORLD_SIZE={per_node} contradict one another"
            ));
        }
        let restarts = number("TORCHELASTIC_RESTART_COUNT")?.unwrap_or(0);
        let served = env("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let id = env("TORCHELASTIC_RUN_ID").unwrap_or_default();
        return Ok(Some(Launched {
            by: "torchrun",
            nodes: world / per_node,
            per_node: Some(per_node),
            node: number("GROUP_RANK")?.unwrap_or(rank / per_node),
            rank: Some((small(rank), small(local), small(world))),
            master: (env("MASTER_ADDR").unwrap_or_default(), needed("MASTER_PORT")?),
            served: served.then(|| format!("cocaptain/{id}/{restarts}/")),
            restarts,
        }));
    }
    // Set in what srun starts; a batch script's own shell has SLURM_NTASKS, too, and is no task of many.
    let Some(tasks) = number("SLURM_STEP_NUM_TASKS")?.filter(|n| *n > 1) else { return Ok(None) };
    let list =
        env("SLURM_STEP_NODELIST").or_else(|| env("SLURM_JOB_NODELIST")).or_else(|| env("SLURM_NODELIST"));
    let list = list.ok_or("SLURM_STEP_NODELIST is not set, as srun would")?;
    let machines = nodelist(&list)?;
    let nodes = number("SLURM_STEP_NUM_NODES")?.unwrap_or(machines.len() as u64).max(1);
    let first =
        machines.into_iter().next().ok_or_else(|| format!("SLURM_STEP_NODELIST={list}: names no machine"))?;
    let (rank, node) = (needed("SLURM_PROCID")?, needed("SLURM_NODEID")?);
    // Jobs that share a machine get ports of their own, the same on all machines of a job.
    let port = number("SLURM_JOB_ID")?.map_or(u64::from(PORT), |id| 20_000 + id % 10_000);
    let whole_machine = tasks == nodes;
    if !whole_machine && !tasks.is_multiple_of(nodes) {
        return Err(format!(
            "srun has {tasks} tasks on {nodes} machines: every machine must have equally many (--ntasks-per-node)"
        ));
    }
    // Where srun shows a task its own GPU alone, that is its first.
    let bound = env("CUDA_VISIBLE_DEVICES").is_some_and(|v| !v.is_empty() && !v.contains(','));
    let local = if bound { 0 } else { needed("SLURM_LOCALID")? };
    Ok(Some(Launched {
        by: "srun",
        nodes,
        per_node: (!whole_machine).then_some(tasks / nodes),
        node,
        rank: (!whole_machine).then_some((small(rank), small(local), small(tasks))),
        master: (first, port),
        served: None,
        restarts: number("SLURM_RESTART_COUNT")?.unwrap_or(0),
    }))
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Launched {
    /// Takes what the launcher says into the settings; `given` are those that flags set.
    ///
    /// # Errors
    /// A flag that says something else.
    pub fn obey(&self, settings: &mut Settings, given: &[&str]) -> Result<(), String> {
        let says =
            [("nnodes", Some(self.nodes)), ("nproc_per_node", self.per_node), ("node_rank", Some(self.node))];
        for (name, value) in says {
            let Some(value) = value else { continue };
            let own = settings.get(name).map(|v| v.to_string()).unwrap_or_default();
            if given.contains(&name) && own != value.to_string() {
                return Err(format!("--{name} {own}: {} says {value}; leave the flag out", self.by));
            }
            settings.assign(name, &value.to_string()).map_err(|e| e.to_string())?;
        }
        if !given.contains(&"master_addr") {
            settings.master_addr = Some(self.master.0.clone());
        }
        if !given.contains(&"master_port") {
            settings.master_port = Some(self.master.1);
        }
        Ok(())
    }

    /// Whether rank 0 is this process's.
    pub fn is_first(&self) -> bool {
        self.rank.map_or(self.node == 0, |(rank, ..)| rank == 0)
    }

    /// The seat of this process's supervisor; none where the settings tell it.
    pub fn seat(&self) -> Option<Seat> {
        let (rank, local_first, world) = self.rank?;
        let node = small(self.node);
        Some(Seat { node, first: rank, ranks: 1, world, local_first, served: self.served.clone() })
    }
}

/// Machines of SLURM's short form: `a[1-3,07],b` is a1, a2, a3, a07, b.
///
/// # Errors
/// In words.
pub fn nodelist(list: &str) -> Result<Vec<String>, String> {
    let bad = |why: &str| format!("SLURM node list {list:?}: {why}");
    let mut all = Vec::new();
    for item in split_outside(list) {
        let mut names = vec![String::new()];
        let mut rest = item;
        while let Some((before, after)) = rest.split_once('[') {
            let (inside, behind) = after.split_once(']').ok_or_else(|| bad("a bracket is not closed"))?;
            let numbers = ranges(inside).ok_or_else(|| bad("a range is no range"))?;
            if names.len().saturating_mul(numbers.len()) > 100_000 {
                return Err(bad("too many machines"));
            }
            names = names
                .iter()
                .flat_map(|name| numbers.iter().map(move |n| format!("{name}{before}{n}")))
                .collect();
            rest = behind;
        }
        if rest.contains(']') {
            return Err(bad("a bracket is not opened"));
        }
        all.extend(names.into_iter().map(|name| name + rest).filter(|name| !name.is_empty()));
    }
    Ok(all)
}

/// Parts between commas that are in no bracket.
fn split_outside(list: &str) -> Vec<&str> {
    let mut inside = false;
    list.split(|c| {
        inside = match c {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        c == ',' && !inside
    })
    .map(str::trim)
    .collect()
}

/// `1-3,07` as texts, with the zeros that they begin with.
fn ranges(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let digits = |s: &str| !s.is_empty() && s.len() < 10 && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(from) || !digits(to) {
            return None;
        }
        let (first, last): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        if first > last || last - first > 100_000 {
            return None;
        }
        all.extend((first..=last).map(|n| format!("{n:0width$}", width = from.len())));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<Launched>, String> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        detect(|name| pairs.iter().find(|(a, _)| a == name).map(|(_, b)| b.clone()))
    }

    #[test]
    fn node_lists() {
        let list = |text: &str| nodelist(text).map(|names| names.join(" "));
        assert_eq!(list("a").unwrap(), "a");
        assert_eq!(list("a[1-3,07],login,b2").unwrap(), "a1 a2 a3 a07 login b2");
        assert_eq!(list("gpu[098-101]-ib").unwrap(), "gpu098-ib gpu099-ib gpu100-ib gpu101-ib");
        assert_eq!(list("r[1-2]n[01-02]").unwrap(), "r1n01 r1n02 r2n01 r2n02");
        assert_eq!(list("a.b-c,d").unwrap(), "a.b-c d");
        for bad in ["a[1-", "a[1-x]", "a[3-1]", "a1-3]", "a[]", "a[1-9][0-999999]"] {
            assert!(list(bad).unwrap_err().contains("SLURM node list"), "{bad}");
        }
    }

    #[test]
    fn torchrun_gives_each_process_a_rank() {
        let torchrun = [
            ("RANK", "5"),
            ("WORLD_SIZE", "8"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "4"),
            ("GROUP_RANK", "1"),
            ("MASTER_ADDR", "10.0.0.1"),
            ("MASTER_PORT", "29511"),
            ("TORCHELASTIC_RUN_ID", "job"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
        ];
        let launched = of(&torchrun).unwrap().unwrap();
        let seat = launched.seat().unwrap();
        assert_eq!((seat.first, seat.ranks, seat.world, seat.local_first, seat.node), (5, 1, 8, 1, 1));
        assert_eq!(seat.served.as_deref(), Some("cocaptain/job/2/"));
        let mut settings = Settings::default();
        launched.obey(&mut settings, &[]).unwrap();
        assert_eq!((settings.nnodes, settings.nproc_per_node, settings.node_rank), (2, 4, 1));
        assert_eq!((settings.master_addr.as_deref(), settings.master_port), (Some("10.0.0.1"), Some(29511)));
        let mut settings = Settings { nnodes: 3, ..Settings::default() };
        let refused = launched.obey(&mut settings, &["nnodes"]).unwrap_err();
        assert!(refused.contains("--nnodes 3") && refused.contains("torchrun says 2"), "{refused}");

        let mut broken = torchrun;
        broken[0].1 = "9";
        assert!(of(&broken).unwrap_err().contains("RANK=9"));
        broken[0].1 = "x";
        assert!(of(&broken).unwrap_err().contains("RANK=x"));
    }

    #[test]
    fn srun_starts_machines_or_ranks() {
        let mut srun = [
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_STEP_NUM_NODES", "2"),
            ("SLURM_STEP_NODELIST", "gpu[07-08]"),
            ("SLURM_PROCID", "1"),
            ("SLURM_NODEID", "1"),
            ("SLURM_LOCALID", "0"),
            ("SLURM_JOB_ID", "1234567"),
        ];
        let machine = of(&srun).unwrap().unwrap();
        assert!(machine.seat().is_none() && machine.per_node.is_none());
        assert_eq!(
            (machine.nodes, machine.node, machine.master.clone()),
            (2, 1, ("gpu07".to_owned(), 24_567))
        );
        (srun[0].1, srun[3].1, srun[5].1) = ("16", "11", "3");
        let rank = of(&srun).unwrap().unwrap();
        let seat = rank.seat().unwrap();
        assert_eq!((seat.first, seat.world, seat.local_first, rank.per_node), (11, 16, 3, Some(8)));
        srun[0].1 = "5";
        assert!(of(&srun).unwrap_err().contains("5 tasks on 2 machines"));
        // A shell in an allocation, or a batch script, is nobody's task.
        assert_eq!(of(&[("SLURM_NTASKS", "16"), ("SLURM_PROCID", "0")]).unwrap(), None);
        srun[0].1 = "1";
        assert_eq!(of(&srun).unwrap(), None);
    }
}
