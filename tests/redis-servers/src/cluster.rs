//! A cluster.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::resp::Reply;
use crate::server::{Options, RedisServer, field_of};
use crate::waiting::until;

/// The number of slots of every cluster.
const SLOTS: u16 = 16_384;

/// The time after which nodes regard a silent one as failed, in milliseconds.
const NODE_TIMEOUT: u32 = 1000;

/// The time after which a node gives up a failover that it was asked for, and a second more.
const MANUAL_FAILOVER: Duration = Duration::from_secs(6);

/// The keys that are moved with one command.
const KEYS_AT_ONCE: &str = "100";

/// A cluster of masters and replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Node>,
    shards: usize,
}

#[derive(Debug)]
struct Node {
    server: RedisServer,
    id: String,
    shard: usize,
}

/// A slot on its way to another master. Commands for missing keys of it are redirected with `ASK`.
#[derive(Debug)]
#[must_use = "a slot stays on its way until `finish`"]
pub struct Migration<'a> {
    cluster: &'a RedisCluster,
    slot: u16,
    from: &'a Node,
    to: &'a Node,
}

impl RedisCluster {
    /// Starts that many masters, which share the slots evenly, with replicas for each.
    pub async fn start(masters: usize, replicas_each: usize) -> Self {
        Self::start_with(masters, replicas_each, Options::default()).await
    }

    /// The same, with settings for every node. TLS is not for them.
    pub async fn start_with(masters: usize, replicas_each: usize, options: Options) -> Self {
        assert!(!options.tls, "the bus of the cluster has no certificates");
        let mut nodes = Vec::new();
        // First every master, then the first replica of each, and so on.
        for index in 0..masters * (replicas_each + 1) {
            let mut options = options.clone();
            options.config.extend([
                "cluster-enabled yes".to_owned(),
                "cluster-config-file nodes.conf".to_owned(),
                format!("cluster-node-timeout {NODE_TIMEOUT}"),
                "cluster-replica-validity-factor 0".to_owned(),
            ]);
            let server = RedisServer::start(options).await;
            let id = server.cli(&["CLUSTER", "MYID"]).await;
            server.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await;
            nodes.push(Node { server, id, shard: index % masters });
        }
        let cluster = Self { nodes, shards: masters };
        cluster.assign_slots().await;
        cluster.introduce().await;
        for replica in &cluster.nodes[masters..] {
            let master = &cluster.nodes[replica.shard].id;
            until("a replica", async || {
                match replica.server.reply(&["CLUSTER", "REPLICATE", master]).await {
                    Reply::Error(reason) => Err(reason),
                    _ => Ok(()),
                }
            })
            .await;
        }
        for shard in 0..masters {
            cluster.replicas_follow(shard, replicas_each).await;
        }
        cluster.ready().await;
        cluster
    }

    /// The addresses of every node.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.server.address()).collect()
    }

    /// The number of shards: a master with its replicas each.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The server at an address.
    pub fn server(&self, address: SocketAddr) -> &RedisServer {
        let node = self.nodes.iter().find(|node| node.server.address() == address);
        &node.unwrap_or_else(|| panic!("no node of this cluster has the address {address}")).server
    }

    /// The present master of a shard.
    pub async fn master(&self, shard: usize) -> &RedisServer {
        &self.master_node(shard).await.server
    }

    /// The slot of a key or channel.
    pub async fn slot_of(&self, key: &str) -> u16 {
        let reply = self.any().cli(&["CLUSTER", "KEYSLOT", key]).await;
        reply.parse().unwrap_or_else(|_| panic!("{reply} is no slot"))
    }

    /// The shard that has a slot.
    pub async fn shard_of(&self, slot: u16) -> usize {
        self.owner(slot).await.shard
    }

    /// Moves a slot with its keys to another shard.
    pub async fn migrate_slot(&self, slot: u16, to: usize) {
        let migration = self.begin_migration(slot, to).await;
        migration.move_keys().await;
        migration.finish().await;
    }

    /// Puts a slot on its way to another shard. [`Migration::move_keys`] and [`Migration::finish`] are the second half.
    pub async fn begin_migration(&self, slot: u16, to: usize) -> Migration<'_> {
        let (from, to) = (self.owner(slot).await, self.master_node(to).await);
        assert_ne!(from.id, to.id, "slot {slot} is there already");
        let text = slot.to_string();
        to.server.cli(&["CLUSTER", "SETSLOT", &text, "IMPORTING", &from.id]).await;
        from.server.cli(&["CLUSTER", "SETSLOT", &text, "MIGRATING", &to.id]).await;
        Migration { cluster: self, slot, from, to }
    }

    /// Kills the master of a shard with SIGKILL, waits until a replica has taken its place, and returns the old address.
    pub async fn kill_master(&self, shard: usize) -> SocketAddr {
        let old = self.master(shard).await;
        old.kill();
        self.ready().await;
        old.address()
    }

    /// Makes a replica take its master's place in order, and waits for it; returns the new master.
    pub async fn failover(&self, shard: usize) -> &RedisServer {
        let old = self.master(shard).await.address();
        let replica = self.running().find(|node| node.shard == shard && node.server.address() != old);
        let replica = replica.unwrap_or_else(|| panic!("shard {shard} has no replica"));
        let mut asked: Option<Instant> = None;
        until("a failover", async || {
            match self.present_master(shard).await {
                Some(node) if node.server.address() != old => return Ok(()),
                _ => {}
            }
            // Asking again would begin it anew. It is refused while the replica is not connected to its master.
            if asked.is_none_or(|at| at.elapsed() > MANUAL_FAILOVER) {
                let reply = replica.server.reply(&["CLUSTER", "FAILOVER"]).await;
                if let Reply::Error(reason) = reply {
                    return Err(reason);
                }
                asked = Some(Instant::now());
            }
            Err(format!("the master is still {old}"))
        })
        .await;
        self.ready().await;
        self.master(shard).await
    }

    /// Waits until every running node regards the cluster as complete, and agrees about the slots.
    pub async fn ready(&self) {
        until("a complete cluster", async || {
            let mut views = Vec::new();
            for node in self.running() {
                let address = node.server.address();
                let info =
                    node.server.ask(&["CLUSTER", "INFO"]).await.map_err(|it| it.to_string())?.to_string();
                let field = |name| field_of(&info, name);
                let complete = field("cluster_state").as_deref() == Some("ok")
                    && field("cluster_slots_ok").as_deref() == Some("16384")
                    && field("cluster_known_nodes") == Some(self.nodes.len().to_string());
                if !complete {
                    return Err(format!("{address}: {info}"));
                }
                views.push(self.view(node).await?);
            }
            views.dedup();
            let Some((view, [])) = views.split_first() else {
                return Err(format!("the nodes disagree: {views:?}"));
            };
            let of_dead = view.iter().find(|(_, id)| !self.running().any(|node| node.id == *id));
            of_dead.map_or(Ok(()), |(range, id)| {
                Err(format!("slots {range} belong to {id}, which does not run"))
            })
        })
        .await;
    }

    /// The ranges of slots and their masters, as a node knows them.
    async fn view(&self, node: &Node) -> Result<Vec<(String, String)>, String> {
        let slots = node.server.ask(&["CLUSTER", "SLOTS"]).await.map_err(|it| it.to_string())?;
        let mut view = Vec::new();
        for range in slots.items() {
            let [first, last, master, ..] = range.items() else { return Err(format!("a range is {range}")) };
            let [_, _, id, ..] = master.items() else { return Err(format!("a master is {master}")) };
            view.push((format!("{first}-{last}"), id.to_string()));
        }
        view.sort_unstable();
        Ok(view)
    }

    async fn assign_slots(&self) {
        let masters = &self.nodes[..self.shards];
        for (index, node) in masters.iter().enumerate() {
            let border = |index: usize| index * usize::from(SLOTS) / masters.len();
            let slots: Vec<String> =
                (border(index)..border(index + 1)).map(|slot| slot.to_string()).collect();
            // Redis 6.2 has no `ADDSLOTSRANGE`.
            let words: Vec<&str> =
                ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
            node.server.cli(&words).await;
        }
    }

    /// Makes every node know every other one.
    async fn introduce(&self) {
        for node in &self.nodes {
            for other in self.nodes.iter().filter(|other| other.id != node.id) {
                let address = other.server.address();
                let (ip, port) = (address.ip().to_string(), address.port().to_string());
                node.server.cli(&["CLUSTER", "MEET", &ip, &port]).await;
            }
        }
        self.ready().await;
    }

    async fn replicas_follow(&self, shard: usize, count: usize) {
        let master = &self.nodes[shard];
        until("the replicas of a master", async || match master.server.info("connected_slaves").await {
            Some(connected) if connected == count.to_string() => Ok(()),
            other => Err(format!("{other:?} of {count}")),
        })
        .await;
        for replica in self.nodes[self.shards..].iter().filter(|node| node.shard == shard) {
            until("a replica's copy", async || match replica.server.info("master_link_status").await {
                Some(status) if status == "up" => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        }
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.server.id().is_some())
    }

    fn any(&self) -> &RedisServer {
        &self.running().next().unwrap_or_else(|| panic!("no node of this cluster is running")).server
    }

    async fn master_node(&self, shard: usize) -> &Node {
        until(format!("the master of shard {shard}"), async || self.present_master(shard).await.ok_or("none"))
            .await
    }

    /// The running node of a shard that has slots.
    async fn present_master(&self, shard: usize) -> Option<&Node> {
        for node in self.running().filter(|node| node.shard == shard) {
            let view = self.view(node).await.ok()?;
            if view.iter().any(|(_, id)| *id == node.id) {
                return Some(node);
            }
        }
        None
    }

    async fn owner(&self, slot: u16) -> &Node {
        until(format!("the master of slot {slot}"), async || {
            let asked = self.running().next().ok_or("no node is running")?;
            let view = self.view(asked).await?;
            let has = |range: &str| {
                let (first, last) = range.split_once('-')?;
                Some(first.parse::<u16>().ok()? <= slot && slot <= last.parse::<u16>().ok()?)
            };
            let (_, id) = view.iter().find(|(range, _)| has(range) == Some(true)).ok_or("no one has it")?;
            self.running().find(|node| node.id == *id).ok_or_else(|| format!("{id} does not run"))
        })
        .await
    }
}

impl Migration<'_> {
    /// Moves every key of the slot.
    pub async fn move_keys(&self) {
        let slot = self.slot.to_string();
        let (ip, port) =
            (self.to.server.address().ip().to_string(), self.to.server.address().port().to_string());
        loop {
            let keys = self.from.server.reply(&["CLUSTER", "GETKEYSINSLOT", &slot, KEYS_AT_ONCE]).await;
            let keys: Vec<String> = keys.items().iter().map(ToString::to_string).collect();
            if keys.is_empty() {
                return;
            }
            let mut words = vec!["MIGRATE", &ip, &port, "", "0", "5000", "AUTH2", "tests", "tests", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            self.from.server.cli(&words).await;
        }
    }

    /// Makes the other shard the master of the slot, in the view of every node. Its keys must have moved.
    pub async fn finish(self) {
        let slot = self.slot.to_string();
        // The new master first: the old one would redirect to a node that redirects back.
        let others = self.cluster.running().filter(|node| node.id != self.to.id && node.id != self.from.id);
        for node in [self.to, self.from].into_iter().chain(others) {
            match node.server.reply(&["CLUSTER", "SETSLOT", &slot, "NODE", &self.to.id]).await {
                // A replica learns it from its master.
                Reply::Error(reason)
                    if reason.contains("replica") || reason.contains("only with masters") => {}
                Reply::Error(reason) => panic!("{}: {reason}", node.server.address()),
                _ => {}
            }
        }
        self.cluster.ready().await;
    }
}
