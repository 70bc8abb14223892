//! Whether all nodes are listed. Addresses that a server announces are not trusted and never connected to; how many there are is
//! enough to know that one is missing.
//!
//! `INFO`: <https://redis.io/docs/latest/commands/info/>; `CLUSTER INFO`: <https://redis.io/docs/latest/commands/cluster-info/>.

use redis::cmd;

use super::node::Node;
use super::reply::info;
use crate::error::ConnectError;

/// How a listed node stands to others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    name: String,
    is_replica: bool,
    /// Its replicas, listed or not.
    pub(super) replicas: usize,
    /// It is connected to its primary.
    is_linked: bool,
    /// Of its cluster, itself included.
    known: Option<usize>,
}

impl Standing {
    /// Asks a node.
    pub(super) async fn of(node: &mut Node, what: &'static str) -> Result<Self, ConnectError> {
        let told = node.ask_text(what, cmd("INFO").arg("replication")).await?;
        let cluster = node.ask_text(what, cmd("INFO").arg("cluster")).await?;
        let cluster = match info(&cluster, "cluster_enabled") {
            Some("1") => Some(node.ask_text(what, cmd("CLUSTER").arg("INFO")).await?),
            Some(_) | None => None,
        };
        Self::read(node.name(), &told, cluster.as_deref())
            .ok_or_else(|| node.odd(what, "INFO does not tell how it stands to other nodes"))
    }

    fn read(name: String, told: &str, cluster: Option<&str>) -> Option<Self> {
        let known = match cluster {
            Some(cluster) => Some(info(cluster, "cluster_known_nodes")?.parse().ok()?),
            None => None,
        };
        Some(Self {
            name,
            is_replica: info(told, "role")? != "master",
            replicas: info(told, "connected_slaves")?.parse().ok()?,
            is_linked: info(told, "master_link_status") == Some("up"),
            known,
        })
    }

    /// It logs in to another node.
    pub(super) fn is_replica(&self) -> bool {
        self.is_replica
    }
}

/// Why some nodes are not listed, if that is so.
pub(super) fn unlisted(all: &[Standing]) -> Option<String> {
    const NEXT: &str = "ACLs are not replicated, so the old password opens those that are missing in `nodes`: list every node";
    let listed = all.len();
    if let Some(known) = all.iter().filter_map(|it| it.known).max() {
        return (known > listed)
            .then(|| format!("the cluster has {known} nodes and {listed} are listed; {NEXT}"));
    }
    if let Some(replica) = all.iter().find(|it| it.is_replica)
        && all.iter().all(|it| it.is_replica)
    {
        return Some(format!("{} is a replica, and its primary is not listed; {NEXT}", replica.name));
    }
    let replicas: usize = all.iter().map(|it| it.replicas).sum();
    let there = replicas + all.iter().filter(|it| !it.is_replica).count();
    if there > listed {
        return Some(format!("there are {replicas} replicas and {listed} nodes are listed; {NEXT}"));
    }
    // One whose link is down is counted by nobody.
    let linked = all.iter().filter(|it| it.is_replica && it.is_linked).count();
    (linked > replicas).then(|| format!("a listed replica follows a primary that is not listed; {NEXT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(replicas: usize) -> Standing {
        Standing::read("p:1".to_owned(), &format!("role:master\r\nconnected_slaves:{replicas}\r\n"), None)
            .unwrap()
    }

    fn replica(link: &str) -> Standing {
        let told = format!("role:slave\r\nmaster_link_status:{link}\r\nconnected_slaves:0\r\n");
        Standing::read("r:2".to_owned(), &told, None).unwrap()
    }

    fn cluster(known: usize) -> Standing {
        let told = format!("cluster_state:ok\r\ncluster_known_nodes:{known}\r\n");
        Standing::read("c:3".to_owned(), "role:master\nconnected_slaves:1", Some(&told)).unwrap()
    }

    #[test]
    fn every_way_to_leave_out_a_node_is_counted() {
        for whole in [
            vec![primary(0)],
            vec![primary(1), replica("up")],
            vec![primary(1), primary(1), replica("up"), replica("up")],
            vec![primary(0), replica("down")],
            vec![cluster(2), cluster(2)],
        ] {
            assert_eq!(unlisted(&whole), None, "{whole:?}");
        }
        for (missing, words) in [
            (vec![primary(1)], "1 replicas and 1 nodes"),
            (vec![primary(1), primary(1)], "2 replicas and 2 nodes"),
            (vec![replica("up")], "r:2 is a replica"),
            (vec![replica("down")], "primary is not listed"),
            (vec![primary(0), replica("up")], "follows a primary that is not listed"),
            (vec![cluster(3), cluster(2)], "3 nodes and 2 are listed"),
        ] {
            assert!(unlisted(&missing).unwrap().contains(words), "{missing:?}");
        }
        assert_eq!(Standing::read(String::new(), "", None), None);
        assert_eq!(Standing::read(String::new(), "role:master\nconnected_slaves:0", Some("")), None);
    }
}
