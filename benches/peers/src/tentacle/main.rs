//! `tentacle`: a protocol of the application over yamux, in plaintext or with secio.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use spacetime_comparisons::{IDLE_NODES, Job, Security, Subject, Work};
use tentacle::builder::{MetaBuilder, ServiceBuilder};
use tentacle::context::{ProtocolContext, ProtocolContextMutRef, ServiceContext};
use tentacle::multiaddr::Multiaddr;
use tentacle::secio::SecioKeyPair;
use tentacle::service::{
    ProtocolHandle, Service, ServiceAsyncControl, ServiceError, ServiceEvent, TargetProtocol,
};
use tentacle::traits::{ServiceHandle, ServiceProtocol};
use tentacle::{ProtocolId, SessionId, async_trait};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

struct Tentacle;

const PROTOCOL: ProtocolId = ProtocolId::new(1);

/// How far a sender may be ahead: a session with more than 24 MiB to send is ended.
const WINDOW_BYTES: usize = 8 << 20;

/// What a node tells the application.
enum Event {
    Connected(SessionId),
    Disconnected,
    /// All that it waited for has come.
    Done,
}

/// What a node does with what comes.
#[derive(Clone)]
enum Role {
    /// Nothing.
    Rest,
    /// Sends it back.
    Echo,
    /// Counts so many of so many bytes, and lets the sender go on.
    Count { bytes: usize, left: usize, room: Arc<Semaphore> },
    /// The same, and asks again while there are questions left.
    Ask { question: Bytes, questions_left: usize, left: usize },
}

struct Worker {
    role: Role,
    events: UnboundedSender<Event>,
}

impl Worker {
    fn tell(&self, event: Event) {
        // At the end nobody listens.
        let _ = self.events.send(event);
    }
}

#[async_trait]
impl ServiceProtocol for Worker {
    async fn init(&mut self, _: &mut ProtocolContext) {}

    async fn connected(&mut self, context: ProtocolContextMutRef<'_>, _: &str) {
        self.tell(Event::Connected(context.session.id));
    }

    async fn received(&mut self, context: ProtocolContextMutRef<'_>, message: Bytes) {
        let left = match &mut self.role {
            Role::Rest => return,
            Role::Echo => {
                context.send_message(message).await.expect("the asker reads");
                return;
            }
            Role::Count { bytes, left, room } => {
                assert_eq!(message.len(), *bytes);
                room.add_permits(1);
                left
            }
            Role::Ask { question, questions_left, left } => {
                if *questions_left > 0 {
                    *questions_left -= 1;
                    context.send_message(question.clone()).await.expect("the echo reads");
                }
                left
            }
        };
        *left -= 1;
        if *left == 0 {
            self.tell(Event::Done);
        }
    }
}

/// Tells of sessions that are gone: the protocol hears of it while they are still there.
struct Sessions(UnboundedSender<Event>);

#[async_trait]
impl ServiceHandle for Sessions {
    async fn handle_error(&mut self, _: &mut ServiceContext, error: ServiceError) {
        panic!("{error:?}");
    }

    async fn handle_event(&mut self, _: &mut ServiceContext, event: ServiceEvent) {
        if let ServiceEvent::SessionClose { .. } = event {
            // At the end nobody listens.
            let _ = self.0.send(Event::Disconnected);
        }
    }
}

/// A running node; it ends when it is dropped.
struct Node {
    control: ServiceAsyncControl,
    events: UnboundedReceiver<Event>,
    address: Multiaddr,
    running: JoinHandle<()>,
}

impl Node {
    async fn start(security: Security, role: Role) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let sessions = Sessions(sender.clone());
        let protocol = MetaBuilder::new().id(PROTOCOL).service_handle(move || {
            ProtocolHandle::Callback(Box::new(Worker { role: role.clone(), events: sender.clone() }))
        });
        let mut builder = ServiceBuilder::new().insert_protocol(protocol.build()).forever(true);
        builder = builder.tcp_config(|socket, _| {
            socket2::SockRef::from(&socket).set_tcp_nodelay(true)?;
            Ok(socket)
        });
        if security == Security::Secured {
            builder = builder.handshake_type(SecioKeyPair::secp256k1_generated().into());
        }
        let mut service: Service<Sessions, SecioKeyPair> = builder.build(sessions);
        let address = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
        let address = service.listen(address).await.expect("a port on loopback");
        let control = service.control().clone();
        let running = tokio::spawn(async move { service.run().await });
        Self { control, events, address, running }
    }

    async fn connected(&mut self) -> SessionId {
        loop {
            if let Event::Connected(session) = self.events.recv().await.expect("it runs") {
                return session;
            }
        }
    }

    async fn disconnected(&mut self) {
        while !matches!(self.events.recv().await.expect("it runs"), Event::Disconnected) {}
    }

    async fn done(&mut self) {
        while !matches!(self.events.recv().await.expect("it runs"), Event::Done) {}
    }

    async fn connect(&mut self, to: &mut Self) -> SessionId {
        self.control.dial(to.address.clone(), TargetProtocol::All).await.expect("it runs");
        tokio::join!(self.connected(), to.connected()).0
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn one_way(job: &Job, bytes: usize, security: Security) {
    let count = job.count;
    let mut near = Node::start(security, Role::Rest).await;
    let room = Arc::new(Semaphore::new(WINDOW_BYTES / bytes));
    let mut far = Node::start(security, Role::Count { bytes, left: count, room: Arc::clone(&room) }).await;
    let to = near.connect(&mut far).await;
    let control = near.control.clone();
    job.start();
    let sending = tokio::spawn(async move {
        let message = Bytes::from(vec![7; bytes]);
        for _ in 0..count {
            room.acquire().await.expect("it is never closed").forget();
            control.send_message_to(to, PROTOCOL, message.clone()).await.expect("it runs");
        }
    });
    far.done().await;
    job.stop();
    sending.await.expect("all was sent");
}

async fn round_trips(job: &Job, in_flight: usize, security: Security) {
    let question = Bytes::from(vec![7; 256]);
    let role =
        Role::Ask { question: question.clone(), questions_left: job.count - in_flight, left: job.count };
    let mut near = Node::start(security, role).await;
    let mut far = Node::start(security, Role::Echo).await;
    let of = near.connect(&mut far).await;
    job.start();
    for _ in 0..in_flight {
        near.control.send_message_to(of, PROTOCOL, question.clone()).await.expect("it runs");
    }
    near.done().await;
    job.stop();
}

/// So many at once: both ends have the protocol open before either closes, and all are closed before
/// the next.
async fn connect(job: &Job, parallel: usize) {
    let mut listener = Node::start(Security::Secured, Role::Rest).await;
    let mut diallers = Vec::new();
    for _ in 0..parallel {
        diallers.push(Node::start(Security::Secured, Role::Rest).await);
    }
    job.start();
    for _ in 0..job.count / parallel {
        for dialler in &diallers {
            dialler.control.dial(listener.address.clone(), TargetProtocol::All).await.expect("it runs");
        }
        for _ in 0..parallel {
            listener.connected().await;
        }
        for dialler in &mut diallers {
            let session = dialler.connected().await;
            dialler.control.disconnect(session).await.expect("it runs");
        }
        for dialler in &mut diallers {
            dialler.disconnected().await;
        }
        for _ in 0..parallel {
            listener.disconnected().await;
        }
    }
    job.stop();
}

async fn idle(job: &Job, security: Security) {
    let mut nodes = Vec::new();
    for _ in 0..IDLE_NODES {
        nodes.push(Node::start(security, Role::Rest).await);
    }
    let (mut one, mut other) =
        (Node::start(security, Role::Rest).await, Node::start(security, Role::Rest).await);
    one.connect(&mut other).await;
    job.start();
    for listener in 0..nodes.len() {
        for dialler in 0..listener {
            let [near, far] = nodes.get_disjoint_mut([dialler, listener]).expect("two nodes");
            near.connect(far).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    job.stop();
}

impl Subject for Tentacle {
    fn name(&self) -> &'static str {
        "tentacle"
    }

    fn offers(&self, work: Work) -> bool {
        !matches!(work, Work::Relay(_) | Work::Limited | Work::FanIn { .. })
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::RoundTrips { in_flight, security } => round_trips(job, in_flight, security).await,
                Work::OneWay { bytes, security } => one_way(job, bytes, security).await,
                Work::Connect { parallel } => connect(job, parallel).await,
                Work::Idle(security) => idle(job, security).await,
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

fn main() -> ExitCode {
    spacetime_comparisons::run(&[&Tentacle])
}
