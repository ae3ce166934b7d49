import { serverAddress, type ServerAddress } from './address';
import { Conversation } from './chat/conversation';
import { ConnectionView } from './connection-view';
import { find } from './dom';
import { closeDrawers, closeDrawersWhenRoomy } from './drawers';
import { EchoBox } from './echo/echo-box';
import { paths } from './echo/trips';
import { Hub } from './hub';
import type { RoomName } from './names';
import { Nickname } from './nickname';
import { Notices } from './notices';
import { Pulse } from './pulse/pulse';
import { Directory } from './rooms/directory';
import { RoomsPanel } from './rooms/rooms-panel';
import { Route, type Place } from './route';

find('boot', HTMLElement).remove();
find('app', HTMLElement).hidden = false;

const notices = new Notices();
const address = serverAddress(new URL(location.href));
if (address.ok) start(address.value);
else notices.show(address.why);

function start({ hub: hubUrl, echo: echoUrl }: ServerAddress): void {
  const route = new Route();
  const hub = new Hub(hubUrl);
  const conversation = new Conversation(hub, new Nickname(), () => route.go(undefined));
  const directory = new Directory(hub);
  const roomsPanel = new RoomsPanel((room) => choose(room));
  new ConnectionView(hub);
  new Pulse(hub);
  new EchoBox(paths(echoUrl, hub));

  function choose(room: RoomName): void {
    closeDrawers();
    route.go(room);
    conversation.focus();
  }

  function show(place: Place): void {
    const room = place.kind === 'room' ? place.room : undefined;
    if (place.kind === 'not a room') notices.show(`The address names no room. ${place.why}`);
    conversation.open(room);
    roomsPanel.showCurrent(room);
    directory.refresh();
    document.title = room === undefined ? 'Wirehub chat' : `${room} · Wirehub chat`;
  }

  directory.changes.add((people) => {
    roomsPanel.showPeople(people);
    const here = conversation.room === undefined ? undefined : people.get(conversation.room);
    if (here !== undefined) conversation.showPeople(here);
  });
  directory.failures.add((why) => roomsPanel.showFailure(why));
  conversation.joins.add(() => directory.refresh());
  conversation.miscounts.add(() => directory.refresh());
  hub.errors.add((why) => notices.show(why));
  route.changes.add(show);
  closeDrawersWhenRoomy();
  find('skip', HTMLAnchorElement).addEventListener('click', (event) => {
    // The link's own address would replace the room in the address bar.
    event.preventDefault();
    conversation.focus();
  });

  show(route.place);
  hub.start();
}
