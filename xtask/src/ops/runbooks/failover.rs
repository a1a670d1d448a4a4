//! What a change of writers has cost: RPO and RTO as clients saw them, against what the page promises.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What a page promises of a failover. Without an RPO nothing acknowledged may be lost, without an RTO nobody asks how long it took.
#[derive(Clone, Copy, Default)]
pub struct Objectives {
    pub rpo: Option<Duration>,
    pub rto: Option<Duration>,
}

/// A claim that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub id: String,
    /// The past that it was written into, as the reply says.
    pub timeline: Option<u64>,
    pub lsn: Option<u64>,
    pub at: Instant,
}

/// Compares and tells: an empty text where nothing was promised. `counted` is, by timeline, the last entry that counted as archived.
pub fn measure(
    promised: Objectives,
    acknowledged: &[Acknowledged],
    lost: &[&Acknowledged],
    counted: &BTreeMap<u64, u64>,
    wrong: &mut Vec<String>,
) -> String {
    let Objectives { rpo, rto } = promised;
    if rpo.is_none() && rto.is_none() {
        return String::new();
    }
    let newest = acknowledged.iter().filter_map(|claim| claim.timeline).max();
    let mut text = String::new();
    if let Some(rpo) = rpo {
        let is_counted = |claim: &Acknowledged| match (claim.timeline, claim.lsn) {
            (Some(timeline), Some(lsn)) => counted.get(&timeline).is_some_and(|last| lsn <= *last),
            _ => true,
        };
        for claim in lost {
            if is_counted(claim) || claim.timeline == newest {
                wrong.push(format!("it counted as archived, and is lost: {claim:?}"));
            }
        }
        let before = |claim: &&Acknowledged| claim.timeline < newest;
        let end = acknowledged.iter().filter(before).map(|claim| claim.at).max();
        let first = lost.iter().map(|claim| claim.at).min();
        let seen = end.zip(first).map_or(Duration::ZERO, |(end, first)| end.saturating_duration_since(first));
        let archived = acknowledged.iter().filter(before).filter(|claim| is_counted(claim)).count();
        if archived == 0 {
            wrong.push("nothing had counted as archived: this shows nothing".to_owned());
        }
        if seen > rpo {
            wrong.push(format!("RPO {:.1} s, and promised are {} s", seen.as_secs_f64(), rpo.as_secs()));
        }
        text.push_str(&format!(
            "\n  RPO {:.1} s: {archived} claims had counted as archived and are there; {} that had not are lost",
            seen.as_secs_f64(),
            lost.len()
        ));
    }
    if let Some(rto) = rto {
        let of_the_newest =
            |is: bool| acknowledged.iter().filter(move |claim| (claim.timeline == newest) == is);
        let last = of_the_newest(false).map(|claim| claim.at).max();
        let first = of_the_newest(true).map(|claim| claim.at).min();
        let seen =
            last.zip(first).map_or(Duration::ZERO, |(last, first)| first.saturating_duration_since(last));
        if acknowledged.iter().all(|claim| claim.timeline == newest) {
            wrong.push("nobody recorded anything at the next writer".to_owned());
        }
        if seen > rto {
            wrong.push(format!("RTO {:.1} s, and promised are {} s", seen.as_secs_f64(), rto.as_secs()));
        }
        text.push_str(&format!("\n  RTO {:.1} s: for so long nobody could record", seen.as_secs_f64()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims by timeline, LSN and second.
    fn claims(of: &[(u64, u64, u64)]) -> Vec<Acknowledged> {
        let begin = Instant::now();
        let claim = |(timeline, lsn, second): &(u64, u64, u64)| Acknowledged {
            id: format!("{timeline}.{lsn}"),
            timeline: Some(*timeline),
            lsn: Some(*lsn),
            at: begin + Duration::from_secs(*second),
        };
        of.iter().map(claim).collect()
    }

    fn promise(rpo: u64, rto: u64) -> Objectives {
        Objectives { rpo: Some(Duration::from_secs(rpo)), rto: Some(Duration::from_secs(rto)) }
    }

    #[test]
    fn what_had_not_counted_may_be_lost_and_costs_its_time() {
        let all = claims(&[(1, 1, 0), (1, 2, 1), (1, 3, 4), (1, 4, 6), (2, 3, 20)]);
        let counted = BTreeMap::from([(1, 2)]);
        let mut wrong = Vec::new();
        let text = measure(promise(10, 30), &all, &[&all[2], &all[3]], &counted, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(text.contains("RPO 2.0 s: 2 claims") && text.contains("2 that had not are lost"), "{text}");
        assert!(text.contains("RTO 14.0 s"), "{text}");
    }

    #[test]
    fn a_broken_promise_is_noticed() {
        let all = claims(&[(1, 1, 0), (1, 2, 1), (1, 3, 4), (1, 4, 16), (2, 3, 60)]);
        let broken = |promised, lost: &[&Acknowledged], last: u64, what: &str| {
            let mut wrong = Vec::new();
            measure(promised, &all, lost, &BTreeMap::from([(1, last)]), &mut wrong);
            assert!(wrong.iter().any(|found| found.contains(what)), "{what}: {wrong:?}");
        };
        broken(promise(10, 90), &[&all[1]], 2, "it counted as archived");
        broken(promise(10, 90), &[&all[4]], 2, "it counted as archived");
        broken(promise(10, 90), &[&all[2]], 2, "RPO 12.0 s");
        broken(promise(90, 30), &[], 2, "RTO 44.0 s");
        broken(promise(10, 90), &[], 0, "shows nothing");
        let mut wrong = Vec::new();
        measure(promise(10, 90), &all[..4], &[], &BTreeMap::from([(1, 2)]), &mut wrong);
        assert!(wrong.iter().any(|found| found.contains("next writer")), "{wrong:?}");
    }
}
