// Ours: what the page uses of it.
type Box = { left: number; top: number; width: number; height: number };
export default class uPlot {
  static paths: { bars(options: { size: number[]; align: number }): unknown };
  constructor(options: Record<string, unknown>, data: number[][], element: HTMLElement);
  select: Box;
  posToVal(position: number, scale: string): number;
  setSelect(box: Box, fire: boolean): void;
  setSize(size: { width: number; height: number }): void;
  destroy(): void;
}
