/** The regions of a reading as paths in the photograph's coordinates, to draw and to hit. */

const probe = document.createElement("canvas").getContext("2d");

export class Shapes {
  /** @param {Object<string, {polygons: number[][], anchor: ?[number, number]}>} regions */
  constructor(regions) {
    this.paths = {};
    this.anchors = {};
    this.all = new Path2D();
    for (const [name, { polygons, anchor }] of Object.entries(regions)) {
      this.paths[name] = pathOf(polygons);
      this.anchors[name] = anchor;
      this.all.addPath(this.paths[name]);
    }
  }

  /** The region at a point; null where there is none. */
  at(x, y) {
    const names = Object.keys(this.paths);
    return names.find((name) => probe.isPointInPath(this.paths[name], x, y)) ?? null;
  }
}

function pathOf(polygons) {
  const path = new Path2D();
  for (const points of polygons) {
    for (let i = 0; i < points.length; i += 2) {
      if (i === 0) path.moveTo(points[0], points[1]);
      else path.lineTo(points[i], points[i + 1]);
    }
    path.closePath();
  }
  return path;
}
