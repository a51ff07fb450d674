/** Where nodes go, by dagre; pure, so that a worker can do it. */
import dagre from "@dagrejs/dagre";

export interface Question {
  /** Pixels between nodes beside each other. */
  gap: number;
  nodes: { id: string; width: number; height: number }[];
  edges: [string, string][];
}

export interface Point {
  x: number;
  y: number;
}

export interface Layout {
  width: number;
  height: number;
  /** Top left corners. */
  nodes: Record<string, Point>;
  edges: { from: string; to: string; points: Point[] }[];
}

export function layout({ gap, nodes, edges }: Question): Layout {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "TB", nodesep: gap, ranksep: 34, marginx: gap / 2, marginy: 16, ranker: "tight-tree" });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) graph.setNode(node.id, { width: node.width, height: node.height });
  for (const [from, to] of edges) graph.setEdge(from, to);
  dagre.layout(graph);
  const size = graph.graph();
  const places: Record<string, Point> = {};
  for (const id of graph.nodes()) {
    const { x, y, width, height } = graph.node(id);
    places[id] = { x: x - width / 2, y: y - height / 2 };
  }
  return {
    width: size.width ?? 0,
    height: size.height ?? 0,
    nodes: places,
    edges: graph.edges().map((edge) => ({ from: edge.v, to: edge.w, points: graph.edge(edge).points ?? [] })),
  };
}

/** A smooth line through the points. */
export function path(points: Point[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  const parts = [`M${first.x},${first.y}`];
  let before = first;
  for (const point of rest) {
    const middle = (before.y + point.y) / 2;
    parts.push(`C${before.x},${middle} ${point.x},${middle} ${point.x},${point.y}`);
    before = point;
  }
  return parts.join("");
}
