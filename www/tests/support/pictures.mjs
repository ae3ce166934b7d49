// Pictures on canvases of the page, and of the page.

/**
 * Returns, for each column of pixels in the canvas within `selector`, whether anything of that custom property's colour is
 * drawn there.
 */
export function drawnColumns(page, selector, token) {
  return page.evaluate(
    ([wanted, name]) => {
      const canvas = document.querySelector(`${wanted} canvas`);
      const probe = document.createElement('canvas').getContext('2d');
      probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      probe.fillRect(0, 0, 1, 1);
      const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
      const { width, height } = canvas;
      const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
      return Array.from({ length: width }, (_, x) => {
        for (let y = 0; y < height; y += 1) {
          const at = 4 * (y * width + x);
          const near = Math.abs(data[at] - red) + Math.abs(data[at + 1] - green) + Math.abs(data[at + 2] - blue) < 90;
          if (near && data[at + 3] > 80) return true;
        }
        return false;
      });
    },
    [selector, token],
  );
}

/** The picture of a canvas, to compare with a later one. */
export function pictureOf(page, selector) {
  return page.evaluate((wanted) => document.querySelector(`${wanted} canvas`).toDataURL(), selector);
}

/** Takes pictures of a panel in light and in dark, and checks both for accessibility. */
export async function portraits(person, name, check) {
  for (const colorScheme of ['light', 'dark']) {
    await person.page.emulateMedia({ colorScheme });
    await person.page.waitForTimeout(400);
    await check(person);
    await person.screenshot(`${name}-${colorScheme}`);
  }
}
