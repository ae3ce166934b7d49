// The form for publishing.

import { byId, setText } from './dom.js';

const TARGETS = {
  channel: { label: 'Channel', path: 'publish', field: 'channel' },
  user: { label: 'User', path: 'send', field: 'user' },
  everybody: { path: 'broadcast' },
  // The channel whose message type the alarm has.
  alarm: { label: 'Channel', path: 'alarms', field: 'channel' },
};

/** Sets the form up for this board. Returns a function that fills a channel in. */
export function setUpPublishing(board) {
  const form = byId('publish');
  const target = byId('publish-target');
  const chosen = () => TARGETS[form.elements.to.value];
  const choose = () => {
    const { label } = chosen();
    byId('publish-target-row').hidden = label === undefined;
    target.required = label !== undefined;
    if (label !== undefined) setText(byId('publish-target-label'), label);
  };
  form.onchange = choose;
  form.onsubmit = (event) => {
    event.preventDefault();
    const result = byId('publish-result');
    const message = byId('publish-message').value;
    try {
      JSON.parse(message);
    } catch (error) {
      setText(result, `Invalid JSON: ${error.message}`);
      return;
    }
    const { path, field } = chosen();
    const name = field === undefined ? '' : `${JSON.stringify(field)}:${JSON.stringify(target.value)},`;
    setText(result, '');
    void board.attempt(
      async () => {
        // The message is sent as typed: its numbers may have more digits than JavaScript's.
        const answer = await board.api.post(path, `{${name}"data":${message}}`);
        const place = answer?.position === undefined ? '' : ` Its offset is ${answer.position.offset}.`;
        setText(result, answer?.alarm === undefined ? `Published.${place}` : 'Raised: the list of alarms above shows the acknowledgements.');
      },
      (problem) => setText(result, problem),
    );
  };
  choose();
  return (channel) => {
    form.elements.to.value = 'channel';
    choose();
    target.value = channel;
    byId('publish-message').focus();
  };
}
