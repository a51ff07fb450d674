/** Which part of a picture the network gets to see. */

export interface Size {
  width: number;
  height: number;
}

export interface Rect extends Size {
  x: number;
  y: number;
}

/** The part of a camera's picture that becomes the input: the centre, as large as it can be, undistorted.
 *
 * Where pictures are resized by their shorter side and then cropped, as much is cut off here: networks were taught so.
 */
export function framing(camera: Size, input: Size, resize: number[] | null): Rect {
  const kept = resize?.length === 1 ? Math.min(1, Math.max(input.width, input.height) / (resize[0] ?? 1)) : 1;
  const scale = kept * Math.min(camera.width / input.width, camera.height / input.height);
  const [width, height] = [input.width * scale, input.height * scale];
  return { x: (camera.width - width) / 2, y: (camera.height - height) / 2, width, height };
}
