import { serverAddress, type ServerAddress } from './address';
import { AlarmDesk } from './alarms/desk';
import { Signals } from './alarms/signals';
import { AlarmStack } from './alarms/stack';
import type { App } from './app';
import { Talks } from './chat/talks';
import { Connection, describe } from './client';
import { find } from './dom';
import { ConnectionView } from './frame/connection-view';
import { showIdentity } from './frame/identity-dialog';
import { Navigation } from './frame/navigation';
import { announce, notice } from './frame/notices';
import { Stage } from './frame/stage';
import { Identity } from './identity';
import { People } from './people';
import { Route, type Place } from './route';

find('boot', HTMLElement).remove();
find('app', HTMLElement).hidden = false;

const address = serverAddress(new URL(location.href));
if (address.ok) start(address.value);
else notice(address.why);

function start(server: ServerAddress): void {
  const me = new Identity();
  const connection = new Connection(server.hub, me.token);
  const route = new Route('chat/lobby');
  const navigation = new Navigation();

  const app: App = {
    client: connection.client,
    get link() {
      return connection.link;
    },
    eachLife: (begin) => connection.each(begin),
    links: connection.links,
    me,
    people: new People(),
    get talks() {
      return talks;
    },
    get alarms() {
      return alarms;
    },
    signals: new Signals(),
    address: server,
    notice,
    announce,
    go: (place) => route.go(place),
    badge: (panel, count, meaning) => navigation.badge(panel, count, meaning),
  };

  app.people.follow(app);
  const talks = new Talks(app);
  const alarms = new AlarmDesk(app);
  alarms.arrivals.add((alarm) => app.signals.signal(alarm));
  new AlarmStack(app);
  const stage = new Stage(app);
  const show = (place: Place): void => {
    navigation.show(place.panel, location.hash.slice(1));
    stage.show(place);
  };
  new ConnectionView(connection, announce, () => stage.focus());
  showIdentity(me);
  connection.errors.add(notice);
  me.renames.add(() => {
    me.token().then((token) => connection.client.setToken(token)).catch((error: unknown) => notice(`The others can’t see your new name yet: ${describe(error)}`));
  });
  route.changes.add(show);
  find('skip', HTMLAnchorElement).addEventListener('click', (event) => {
    // The link's own address would replace the place in the address bar.
    event.preventDefault();
    stage.focus();
  });

  show(route.place);
  connection.start();
}
